// Golden prints what Go's encoding/json makes of things, for others to compare with.
//
// Without an argument: a table, one "name<TAB>bytes" a line.
// With "echo": each line of the input, decoded and encoded again.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
)

type person struct {
	Name  string   `json:"name"`
	Email string   `json:"email,omitempty"`
	Age   int      `json:"age"`
	Score float64  `json:"score"`
	Token []byte   `json:"token"`
	Tags  []string `json:"tags"`
	Boss  *person  `json:"boss"`
}

var table = []struct {
	name  string
	value any
}{
	{"null", nil},
	{"nil slice", []string(nil)},
	{"empty slice", []string{}},
	{"bytes", []byte{0, 255, 1}},
	{"struct", person{Name: "Ada <ada@example.org>", Age: 36, Score: 1, Token: []byte("ab"), Boss: &person{Name: "null"}}},
	{"map", map[string]any{"b": 1.5, "a": "x & y", "<": true}},
	{"html", "<script>alert('a' && \"b\")</script>"},
	{"separators", "\u2027\u2028\u2029\u202a"},
	{"controls", "\x00\x01\x08\t\n\x0b\x0c\r\x1f\x7f\u0080"},
	{"slashes", `/\"`},
	{"text", "é 日本 😀 \ufeff"},
	{"int64", int64(math.MinInt64)},
	{"uint64", uint64(math.MaxUint64)},
	{"floats", []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, -2.5, 100, 1e15, 1e16, 123456789012345678, 1e20,
		999999999999999900000, 1e21, -1e21, 1.5e300, math.MaxFloat64, 1e-5, 1e-6, 9.9e-7, 1e-7,
		-1.5e-9, 1e-10, 2.5e-100, math.SmallestNonzeroFloat64, math.Pi, 1 << 53, 1.0 / 3,
	}},
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if len(os.Args) == 1 {
		for _, row := range table {
			fmt.Fprintf(out, "%s\t%s\n", row.name, marshal(row.value))
		}
		return
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var value any
		if err := json.Unmarshal(line, &value); err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(out, "%s\n", marshal(value))
		out.Flush()
	}
}

func marshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	return data
}
