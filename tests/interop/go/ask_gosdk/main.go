// Asks one question with the official Go SDK and prints what came back.
package main

import (
	"context"
	"log"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"interop/outcome"
)

func main() {
	question := outcome.ParseQuestion()
	ctx, cancel := context.WithTimeout(context.Background(), question.Patience)
	defer cancel()

	client := mcp.NewClient(&mcp.Implementation{Name: "ask_gosdk", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: question.URL}
	options := &mcp.ClientSessionOptions{ProtocolVersion: question.Version}
	session, err := client.Connect(ctx, transport, options)
	if err != nil {
		log.Fatalf("connect: %v", err)
	}
	defer session.Close()

	params := &mcp.CallToolParams{Name: "ask_user", Arguments: question.Arguments()}
	params.SetProgressToken("interop")
	result, err := session.CallTool(ctx, params)
	if err != nil {
		log.Fatalf("tools/call: %v", err)
	}
	if len(result.Content) != 1 {
		log.Fatalf("%d contents", len(result.Content))
	}
	text, isText := result.Content[0].(*mcp.TextContent)
	if !isText {
		log.Fatalf("not a text: %T", result.Content[0])
	}
	outcome.Print(session.InitializeResult().ProtocolVersion, text.Text, result.IsError, result.StructuredContent)
}
