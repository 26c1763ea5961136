package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// people connects frontends to the questions of one test.
type people struct {
	t       *testing.T
	address string
}

// person is a frontend as a test plays it.
type person struct {
	t          *testing.T
	connection *websocket.Conn
}

func open(t *testing.T) (*Questions, people) {
	hub := NewHub()
	questions := NewQuestions(hub)
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	return questions, people{t, "ws" + strings.TrimPrefix(server.URL, "http")}
}

// arrive returns a frontend that has not said connect, and need not.
func (ps people) arrive() person {
	connection, _, err := websocket.DefaultDialer.Dial(ps.address, nil)
	if err != nil {
		ps.t.Fatal(err)
	}
	ps.t.Cleanup(func() { connection.Close() })
	return person{ps.t, connection}
}

// connect returns a frontend that the hub certainly knows.
func (ps people) connect() person {
	p := ps.arrive()
	p.say(incoming{Type: "connect"})
	var ack connectAck
	p.hear(&ack)
	if ack.Status != "connected" {
		p.t.Fatalf("not connected: %+v", ack)
	}
	return p
}

func (p person) say(message any) {
	if err := p.connection.WriteJSON(message); err != nil {
		p.t.Fatal(err)
	}
}

func (p person) hear(message any) {
	p.connection.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := p.connection.ReadJSON(message); err != nil {
		p.t.Fatal(err)
	}
}

// outcome is what a caller gets.
type outcome struct {
	answer string
	err    error
}

func ask(ctx context.Context, questions *Questions, text string) <-chan outcome {
	asked := make(chan outcome, 1)
	go func() {
		answer, err := questions.Ask(ctx, text, time.Minute)
		asked <- outcome{answer, err}
	}()
	return asked
}

func TestTheFirstAnswerWinsAndTheSecondIsTold(t *testing.T) {
	questions, people := open(t)
	p := people.connect()
	asked := ask(t.Context(), questions, "Which colour?")
	var shown askUser
	p.hear(&shown)
	if shown.Question != "Which colour?" {
		t.Fatalf("shown: %+v", shown)
	}
	p.say(incoming{Type: "user_response", RequestID: shown.RequestID, Answer: "Blue"})
	p.say(incoming{Type: "user_response", RequestID: shown.RequestID, Answer: "Red"})
	if got := <-asked; got != (outcome{"Blue", nil}) {
		t.Fatalf("got: %+v", got)
	}
	var ack responseAck
	p.hear(&ack)
	if ack != (responseAck{"response_ack", shown.RequestID, "unknown"}) {
		t.Fatalf("told: %+v", ack)
	}
}

func TestQuestionsGoRound(t *testing.T) {
	questions, people := open(t)
	both := []person{people.connect(), people.connect()}
	ask(t.Context(), questions, "first")
	ask(t.Context(), questions, "second")
	for _, p := range both {
		var shown askUser
		p.hear(&shown)
	}
}

func TestWhatAFrontendLeavesGoesToTheNextOne(t *testing.T) {
	questions, people := open(t)
	both := []person{people.connect(), people.connect()}
	asked := ask(t.Context(), questions, "Still there?")
	var shown askUser
	both[1].hear(&shown)
	both[1].connection.Close()
	both[0].answers(shown, asked)
}

func TestAQuestionWaitsForTheFirstFrontend(t *testing.T) {
	questions, people := open(t)
	people.connect().say(incoming{Type: "disconnect"})
	asked := ask(t.Context(), questions, "Anybody?")
	people.arrive().answers(askUser{"ask_user", "1", "Anybody?"}, asked)
}

// answers is shown the question and answers it.
func (p person) answers(expected askUser, asked <-chan outcome) {
	var shown askUser
	p.hear(&shown)
	if shown != expected {
		p.t.Fatalf("shown: %+v", shown)
	}
	p.say(incoming{Type: "user_response", RequestID: shown.RequestID, Answer: "Yes"})
	if got := <-asked; got != (outcome{"Yes", nil}) {
		p.t.Fatalf("got: %+v", got)
	}
}

func TestTimeIsUp(t *testing.T) {
	questions, _ := open(t)
	_, err := questions.Ask(t.Context(), "Anybody?", time.Millisecond)
	if !errors.Is(err, ErrNobodyAnswered) || len(questions.open) != 0 {
		t.Fatalf("%v, and %d are open", err, len(questions.open))
	}
}

func TestTheQuestionOfACallerWhoLeavesIsForgotten(t *testing.T) {
	questions, people := open(t)
	p := people.connect()
	ctx, leave := context.WithCancel(t.Context())
	asked := ask(ctx, questions, "Never mind?")
	var shown askUser
	p.hear(&shown)
	leave()
	if got := <-asked; !errors.Is(got.err, context.Canceled) || len(questions.open) != 0 {
		t.Fatalf("got: %+v, and %d are open", got, len(questions.open))
	}
}
