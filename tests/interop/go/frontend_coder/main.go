// A frontend on coder/websocket that compresses what it says and reads what is compressed.
//
// It prints each message that it gets and answers every question.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"

	"github.com/coder/websocket"
)

type message struct {
	Type      string `json:"type"`
	RequestID string `json:"request_id,omitempty"`
	Answer    string `json:"answer,omitempty"`
}

func main() {
	url := flag.String("url", "", "the gateway's /ws")
	answer := flag.String("answer", "Blue", "what the person answers")
	flag.Parse()

	ctx := context.Background()
	connection, _, err := websocket.Dial(ctx, *url, &websocket.DialOptions{
		CompressionMode:      websocket.CompressionNoContextTakeover,
		CompressionThreshold: 1,
	})
	if err != nil {
		log.Fatalf("dial: %v", err)
	}
	defer connection.CloseNow()
	connection.SetReadLimit(16 << 20)
	say := func(m message) {
		data, _ := json.Marshal(m)
		if err := connection.Write(ctx, websocket.MessageText, data); err != nil {
			log.Fatalf("write: %v", err)
		}
	}
	say(message{Type: "connect"})
	for {
		_, data, err := connection.Read(ctx)
		if err != nil {
			log.Fatalf("read: %v", err)
		}
		fmt.Printf("%s\n", data)
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			log.Fatalf("unmarshal: %v", err)
		}
		if m.Type == "ask_user" {
			say(message{Type: "user_response", RequestID: m.RequestID, Answer: *answer})
		}
	}
}
