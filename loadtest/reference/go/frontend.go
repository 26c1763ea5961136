package main

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// writeWait is how long a frontend may take to accept a message before it counts as gone.
	writeWait = 10 * time.Second
	// maxMessage bounds what a frontend may send at once.
	maxMessage = 1 << 20
)

// frontend is the web app of one person.
type frontend struct {
	connection *websocket.Conn
	// writing is held during a write: gorilla demands one writer at a time.
	writing sync.Mutex
	// quiet counts the rounds of Hub.KeepAlive since the frontend was last heard.
	quiet atomic.Int32
}

// newFrontend returns the frontend at the far end of an upgraded connection.
func newFrontend(connection *websocket.Conn) *frontend {
	f := &frontend{connection: connection}
	connection.SetReadLimit(maxMessage)
	connection.SetPongHandler(func(string) error {
		f.quiet.Store(0)
		return nil
	})
	return f
}

// send writes a message from the goroutine of whoever has it: a goroutine and
// a queue for each frontend would cost memory and a switch.
//
// A frontend that does not take it is closed, so that its reader sees it go.
func (f *frontend) send(message []byte) {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.connection.SetWriteDeadline(time.Now().Add(writeWait))
	if err := f.connection.WriteMessage(websocket.TextMessage, message); err != nil {
		f.connection.Close()
	}
}

// sendJSON writes a message that is made for this frontend alone.
func (f *frontend) sendJSON(message any) {
	encoded, err := json.Marshal(message)
	if err != nil {
		panic(err) // ours are structs of strings
	}
	f.send(encoded)
}

// ping asks for a sign of life. Unlike other writes it may overlap with one.
func (f *frontend) ping() {
	if err := f.connection.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)); err != nil {
		f.connection.Close()
	}
}

// listen hands on answers until the frontend is gone or says disconnect.
func (f *frontend) listen(answered func(requestID, answer string) bool) {
	for {
		_, data, err := f.connection.ReadMessage()
		if err != nil {
			return
		}
		f.quiet.Store(0)
		var message incoming
		if err := json.Unmarshal(data, &message); err != nil {
			continue // as Go's server does
		}
		switch message.Type {
		case "connect":
			f.sendJSON(connectAck{Type: "connect_ack", Status: "connected"})
		case "user_response":
			if !answered(message.RequestID, message.Answer) {
				f.sendJSON(responseAck{Type: "response_ack", RequestID: message.RequestID, Status: "unknown"})
			}
		case "disconnect":
			return
		}
	}
}
