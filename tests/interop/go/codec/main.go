// Codings as Go has them: compress/gzip and klauspost/compress/zstd.
//
// Each line of standard input is a direction, a coding and base64; each line of
// standard output is the result in base64, or "!" and what is wrong. With a file
// as its argument, zstd is with the dictionary in it.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

var dictionaries [][]byte

func decode(coding string, data []byte) ([]byte, error) {
	if coding == "gzip" {
		reader, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(reader)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionaries...))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	return decoder.DecodeAll(data, nil)
}

// encode streams, as Go's servers do: the frame does not say how long it is.
func encode(coding string, data []byte) ([]byte, error) {
	var out bytes.Buffer
	var writer io.WriteCloser = gzip.NewWriter(&out)
	if coding == "zstd" {
		options := []zstd.EOption{}
		if len(dictionaries) > 0 {
			options = append(options, zstd.WithEncoderDict(dictionaries[0]))
		}
		encoder, err := zstd.NewWriter(&out, options...)
		if err != nil {
			return nil, err
		}
		writer = encoder
	}
	if _, err := writer.Write(data); err != nil {
		return nil, err
	}
	err := writer.Close()
	return out.Bytes(), err
}

func main() {
	for _, path := range os.Args[1:] {
		dictionary, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		dictionaries = append(dictionaries, dictionary)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		data := []byte{}
		if len(words) > 2 {
			var err error
			if data, err = base64.StdEncoding.DecodeString(words[2]); err != nil {
				log.Fatal(err)
			}
		}
		do := decode
		if words[0] == "encode" {
			do = encode
		}
		result, err := do(words[1], data)
		if err != nil {
			fmt.Printf("!%v\n", err)
		} else {
			fmt.Println(base64.StdEncoding.EncodeToString(result))
		}
	}
}
