// Asks one question with an earlier mark3labs/mcp-go, of before 2026-07-28, and prints what came back.
package main

import (
	"context"
	"log"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"interop/outcome"
)

func main() {
	question := outcome.ParseQuestion()
	ctx, cancel := context.WithTimeout(context.Background(), question.Patience)
	defer cancel()

	caller, err := client.NewStreamableHttpClient(question.URL)
	if err != nil {
		log.Fatalf("client: %v", err)
	}
	defer caller.Close()
	if err := caller.Start(ctx); err != nil {
		log.Fatalf("start: %v", err)
	}
	initialize := mcp.InitializeRequest{}
	initialize.Params.ProtocolVersion = question.Version
	initialize.Params.ClientInfo = mcp.Implementation{Name: "ask_mcpgo_earlier", Version: "1"}
	initialized, err := caller.Initialize(ctx, initialize)
	if err != nil {
		log.Fatalf("initialize: %v", err)
	}

	call := mcp.CallToolRequest{}
	call.Params.Name = "ask_user"
	call.Params.Arguments = question.Arguments()
	result, err := caller.CallTool(ctx, call)
	if err != nil {
		log.Fatalf("tools/call: %v", err)
	}
	if len(result.Content) != 1 {
		log.Fatalf("%d contents", len(result.Content))
	}
	text, isText := mcp.AsTextContent(result.Content[0])
	if !isText {
		log.Fatalf("not a text: %T", result.Content[0])
	}
	// v0.32 has no structured content.
	outcome.Print(initialized.ProtocolVersion, text.Text, result.IsError, nil)
}
