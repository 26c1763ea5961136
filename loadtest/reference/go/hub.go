package main

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	keepAliveEvery = 30 * time.Second
	// A frontend that was not heard for one round gets a ping, after one more it is gone.
	pingAfter = 2
	goneAfter = 3
)

// Audience is told who comes and goes, and what frontends say.
type Audience interface {
	// Joined comes after the frontend has its turn in the rotation.
	Joined(*frontend)
	// Left comes after it has none any more.
	Left(*frontend)
	// Answered returns whether somebody waited for this answer.
	Answered(requestID, answer string) bool
}

// Hub holds the connected frontends. Each counts from the upgrade, whether or not it says connect.
type Hub struct {
	upgrader websocket.Upgrader
	audience Audience

	mu        sync.Mutex
	frontends []*frontend
	turn      int
}

// NewHub returns a hub without frontends; its audience is to be set before it serves.
func NewHub() *Hub {
	return &Hub{
		upgrader: websocket.Upgrader{
			// Idle connections keep a small buffer for reading and share those for writing.
			ReadBufferSize:  512,
			WriteBufferSize: 1024,
			WriteBufferPool: &sync.Pool{},
		},
	}
}

// ServeHTTP makes a frontend of whoever asks for a WebSocket.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connection, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has replied
	}
	// In a goroutine of its own, so that the stack and the buffers of the HTTP request are free.
	go h.attend(newFrontend(connection))
}

func (h *Hub) attend(f *frontend) {
	defer f.connection.Close()
	h.mu.Lock()
	h.frontends = append(h.frontends, f)
	h.mu.Unlock()
	h.audience.Joined(f)

	f.listen(h.audience.Answered)

	h.mu.Lock()
	h.frontends = slices.DeleteFunc(h.frontends, func(each *frontend) bool { return each == f })
	h.mu.Unlock()
	h.audience.Left(f)
}

// Next returns the frontend whose turn it is, or nil when there is none.
func (h *Hub) Next() *frontend {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.frontends) == 0 {
		return nil
	}
	h.turn = (h.turn + 1) % len(h.frontends)
	return h.frontends[h.turn]
}

// KeepAlive finds frontends that are gone without a word. It never returns.
func (h *Hub) KeepAlive() {
	for range time.Tick(keepAliveEvery) {
		h.mu.Lock()
		frontends := slices.Clone(h.frontends)
		h.mu.Unlock()
		for _, f := range frontends {
			switch quiet := f.quiet.Add(1); {
			case quiet >= goneAfter:
				f.connection.Close()
			case quiet >= pingAfter:
				f.ping()
			}
		}
	}
}
