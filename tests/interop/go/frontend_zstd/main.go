// A frontend that speaks the subprotocol frontend-router.v1.zstd with our dictionary.
//
// It fetches the dictionary that the first connect_ack offers, says that it has it, prints
// each message that it gets and answers every question, both ways in zstd frames.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"
)

type message struct {
	Type         string `json:"type"`
	RequestID    string `json:"request_id,omitempty"`
	Answer       string `json:"answer,omitempty"`
	Dictionaries []int  `json:"dictionaries,omitempty"`
	Dictionary   *offer `json:"dictionary,omitempty"`
}

type offer struct {
	ID   int    `json:"id"`
	URL  string `json:"url"`
	Used bool   `json:"used"`
}

func fetch(socket, relative string) ([]byte, error) {
	base, err := url.Parse("http" + strings.TrimPrefix(socket, "ws"))
	if err != nil {
		return nil, err
	}
	where, err := base.Parse(relative)
	if err != nil {
		return nil, err
	}
	response, err := http.Get(where.String())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", where, response.Status)
	}
	return io.ReadAll(response.Body)
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	socket := flag.String("url", "", "the gateway's /ws")
	answer := flag.String("answer", "Blue", "what the person answers")
	flag.Parse()

	ctx := context.Background()
	connection, _, err := websocket.Dial(ctx, *socket, &websocket.DialOptions{
		Subprotocols: []string{"frontend-router.v1.zstd"},
	})
	if err != nil {
		log.Fatalf("dial: %v", err)
	}
	defer connection.CloseNow()
	connection.SetReadLimit(16 << 20)
	decoder := must(zstd.NewReader(nil))
	encoder := must(zstd.NewWriter(nil))
	say := func(m message) {
		frame := encoder.EncodeAll(must(json.Marshal(m)), nil)
		if err := connection.Write(ctx, websocket.MessageBinary, frame); err != nil {
			log.Fatalf("write: %v", err)
		}
	}
	say(message{Type: "connect"})
	for {
		kind, data, err := connection.Read(ctx)
		if err != nil {
			log.Fatalf("read: %v", err)
		}
		if kind == websocket.MessageBinary {
			data = must(decoder.DecodeAll(data, nil))
		}
		fmt.Printf("%s\n", data)
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			log.Fatalf("unmarshal: %v", err)
		}
		switch {
		case m.Type == "connect_ack" && m.Dictionary != nil && !m.Dictionary.Used:
			dictionary := must(fetch(*socket, m.Dictionary.URL))
			decoder = must(zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary)))
			encoder = must(zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary)))
			say(message{Type: "connect", Dictionaries: []int{m.Dictionary.ID}})
		case m.Type == "ask_user":
			say(message{Type: "user_response", RequestID: m.RequestID, Answer: *answer})
		}
	}
}
