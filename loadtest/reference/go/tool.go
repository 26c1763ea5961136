package main

import (
	"context"
	"errors"
	"time"
)

const (
	toolName        = "ask_user"
	toolDescription = "Ask a question to the user and receive their response"
	serverName      = "reference"
	serverVersion   = "1"

	defaultTimeout = 300 * time.Second
	// longestTimeout keeps what a caller says within what a Duration holds.
	longestTimeout = 24 * time.Hour
)

// arguments are those of the tool, as each engine decodes them.
type arguments struct {
	Question       string  `json:"question" jsonschema:"what to ask the user"`
	TimeoutSeconds float64 `json:"timeout_seconds,omitempty" jsonschema:"how long to wait for an answer; 300 by default"`
}

// errNoQuestion is a mistake of the caller.
var errNoQuestion = errors.New("question: a text that is not empty is required")

// run does what the tool is for, whichever engine serves it.
func (a arguments) run(ctx context.Context, questions *Questions) (string, error) {
	if a.Question == "" {
		return "", errNoQuestion
	}
	timeout := defaultTimeout
	switch {
	case a.TimeoutSeconds > longestTimeout.Seconds():
		timeout = longestTimeout
	case a.TimeoutSeconds > 0:
		timeout = time.Duration(a.TimeoutSeconds * float64(time.Second))
	}
	return questions.Ask(ctx, a.Question, timeout)
}
