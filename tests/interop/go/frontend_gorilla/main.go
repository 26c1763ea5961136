// A frontend that knows only the messages of the Go server: connect, ask_user, user_response, disconnect.
//
// It prints each frame that it gets, answers every question, and says
// disconnect when its standard input ends.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// message is all that this frontend ever reads or writes.
type message struct {
	Type      string `json:"type"`
	Status    string `json:"status,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Question  string `json:"question,omitempty"`
	Answer    string `json:"answer,omitempty"`
}

// frontend has one writer at a time, as gorilla demands.
type frontend struct {
	connection *websocket.Conn
	writing    sync.Mutex
}

func (f *frontend) send(m message) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.connection.WriteJSON(m); err != nil {
		log.Fatalf("write: %v", err)
	}
}

func main() {
	url := flag.String("url", "", "the gateway's /ws")
	connect := flag.Bool("connect", true, "say connect")
	delay := flag.Duration("delay", 0, "how long the person thinks")
	answer := flag.String("answer", "Blue", "what the person answers")
	compress := flag.Bool("compress", false, "offer permessage-deflate, and use it")
	flag.Parse()

	dialer := websocket.Dialer{EnableCompression: *compress}
	connection, response, err := dialer.Dial(*url, nil)
	if err != nil {
		log.Fatalf("dial: %v", err)
	}
	agreed := strings.Contains(response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
	if agreed != *compress {
		log.Fatalf("permessage-deflate was agreed on: %v", agreed)
	}
	defer connection.Close()
	f := &frontend{connection: connection}
	if *connect {
		f.send(message{Type: "connect"})
	}
	fmt.Println(`{"type":"dialled"}`)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		f.send(message{Type: "disconnect"})
	}()
	for {
		_, data, err := connection.ReadMessage()
		if err != nil {
			report(err)
			return
		}
		fmt.Printf("%s\n", data)
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			log.Fatalf("unmarshal: %v", err)
		}
		if m.Type == "ask_user" {
			time.AfterFunc(*delay, func() {
				f.send(message{Type: "user_response", RequestID: m.RequestID, Answer: *answer})
			})
		}
	}
}

// report prints how the gateway ended the connection.
func report(err error) {
	closed, isClose := err.(*websocket.CloseError)
	if !isClose {
		log.Fatalf("read: %v", err)
	}
	fmt.Printf("{\"type\":\"closed\",\"code\":%d}\n", closed.Code)
}
