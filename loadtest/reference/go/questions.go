package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"
)

// ErrNobodyAnswered is what a caller gets when the time for an answer is over.
var ErrNobodyAnswered = errors.New("nobody answered in time")

// question is one that somebody waits for.
type question struct {
	number uint64
	// message is how frontends are shown it.
	message []byte
	// answer has room for one, so that whoever answers never waits.
	answer chan string
	// holder is the frontend that was shown it last; nil while there is none. Questions.mu guards it.
	holder *frontend
}

// Questions are all that are open. Each is shown to one frontend at a time.
type Questions struct {
	hub *Hub

	mu    sync.Mutex
	open  map[string]*question
	asked uint64
}

// NewQuestions returns no questions, as the audience of the hub.
func NewQuestions(hub *Hub) *Questions {
	questions := &Questions{hub: hub, open: make(map[string]*question)}
	hub.audience = questions
	return questions
}

// Ask returns the first answer, ErrNobodyAnswered, or why the context ended.
// However it returns, the question is forgotten then.
func (qs *Questions) Ask(ctx context.Context, text string, timeout time.Duration) (string, error) {
	id, q, holder := qs.add(text)
	defer qs.take(id)
	if holder != nil {
		holder.send(q.message)
	}

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case answer := <-q.answer:
		return answer, nil
	case <-timer.C:
		return "", ErrNobodyAnswered
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Answered implements Audience: the first answer wins, from whichever frontend.
func (qs *Questions) Answered(id, answer string) bool {
	q := qs.take(id)
	if q == nil {
		return false
	}
	q.answer <- answer
	return true
}

// Joined implements Audience: a newcomer gets what nobody holds.
func (qs *Questions) Joined(*frontend) {
	qs.handOver(nil)
}

// Left implements Audience: what the frontend held goes to the next ones.
func (qs *Questions) Left(f *frontend) {
	qs.handOver(f)
}

// add opens a question and returns who is to be shown it, if there is anybody.
//
// The holder is chosen and noted in one step: a frontend that leaves before
// that is not chosen, one that leaves after it finds the question as its own.
func (qs *Questions) add(text string) (string, *question, *frontend) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.asked++
	id := strconv.FormatUint(qs.asked, 10)
	message, err := json.Marshal(askUser{Type: "ask_user", RequestID: id, Question: text})
	if err != nil {
		panic(err) // strings can be encoded
	}
	holder := qs.hub.Next()
	q := &question{number: qs.asked, message: message, answer: make(chan string, 1), holder: holder}
	qs.open[id] = q
	return id, q, holder
}

// take ends a question. Only the first who takes it gets it.
func (qs *Questions) take(id string) *question {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	q := qs.open[id]
	delete(qs.open, id)
	return q
}

// handOver gives the questions of one holder to those whose turn it is.
func (qs *Questions) handOver(from *frontend) {
	type showing struct {
		holder  *frontend
		message []byte
	}
	var showings []showing
	qs.mu.Lock()
	for _, q := range qs.heldBy(from) {
		if q.holder = qs.hub.Next(); q.holder != nil {
			showings = append(showings, showing{q.holder, q.message})
		}
	}
	qs.mu.Unlock()
	// A frontend that is slow to take a message holds up nobody who needs the lock.
	for _, s := range showings {
		s.holder.send(s.message)
	}
}

// heldBy returns the open questions of this holder, the oldest first. The caller holds the lock.
func (qs *Questions) heldBy(holder *frontend) []*question {
	var held []*question
	for _, q := range qs.open {
		if q.holder == holder {
			held = append(held, q)
		}
	}
	slices.SortFunc(held, func(a, b *question) int { return cmp.Compare(a.number, b.number) })
	return held
}
