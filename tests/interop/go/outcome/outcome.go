// Package outcome is what both askers have in common: a question from the command line, and one line of JSON.
package outcome

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"
)

// Question is what the command line asks for.
type Question struct {
	URL      string
	Version  string
	Text     string
	Timeout  float64
	Patience time.Duration
}

// ParseQuestion reads the command line.
func ParseQuestion() Question {
	var question Question
	flag.StringVar(&question.URL, "url", "", "the gateway's /mcp")
	flag.StringVar(&question.Version, "version", "", "protocol revision to ask for; empty: the program's own choice")
	flag.StringVar(&question.Text, "question", "", "what to ask")
	flag.Float64Var(&question.Timeout, "timeout", 0, "timeout_seconds of the question; 0: not sent")
	flag.DurationVar(&question.Patience, "patience", 30*time.Second, "when the program gives up")
	flag.Parse()
	return question
}

// Arguments returns the arguments of the tool call.
func (q Question) Arguments() map[string]any {
	arguments := map[string]any{"question": q.Text}
	if q.Timeout > 0 {
		arguments["timeout_seconds"] = q.Timeout
	}
	return arguments
}

// Print writes what came back.
func Print(version, text string, isError bool, structured any) {
	err := json.NewEncoder(os.Stdout).Encode(map[string]any{
		"version": version, "text": text, "is_error": isError, "structured": structured,
	})
	if err != nil {
		log.Fatal(err)
	}
}
