// Reference is what one would write in Go instead of the gateway, for comparison under the same load.
//
// It keeps everything in memory, and has no limits, credentials or metrics: it
// is to be as fast as Go can be. How many cores it uses and how lazily it
// collects garbage are Go's own GOMAXPROCS and GOGC.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
)

// engines are the ways to serve MCP.
var engines = map[string]func(*Questions) http.Handler{
	"gosdk":   newGoSDK,
	"mcpgo":   newMCPGo,
	"nethttp": newNetHTTP,
}

func main() {
	log.SetFlags(0)
	wsAddress := flag.String("ws", "127.0.0.1:8080", "where frontends connect, at /ws")
	mcpAddress := flag.String("mcp", "127.0.0.1:8081", "where callers POST, to /mcp")
	engine := flag.String("engine", "nethttp", "what serves MCP: "+strings.Join(engineNames(), ", "))
	flag.Parse()

	newEngine, known := engines[*engine]
	if !known {
		fmt.Fprintf(os.Stderr, "no engine %q: choose one of %s\n", *engine, strings.Join(engineNames(), ", "))
		os.Exit(2)
	}
	hub := NewHub()
	questions := NewQuestions(hub)
	go hub.KeepAlive()

	frontends := http.NewServeMux()
	frontends.Handle("GET /ws", hub)
	callers := http.NewServeMux()
	callers.Handle("/mcp", newEngine(questions))

	// Neither server has timeouts, which cost a timer a request: nobody here is slow on purpose.
	failed := make(chan error)
	go func() { failed <- http.ListenAndServe(*wsAddress, frontends) }()
	go func() { failed <- http.ListenAndServe(*mcpAddress, callers) }()
	log.Fatal(<-failed)
}

func engineNames() []string {
	names := make([]string, 0, len(engines))
	for name := range engines {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
