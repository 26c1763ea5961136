package main

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// newGoSDK serves MCP with the official SDK: no sessions, answers as plain JSON, one server for all.
func newGoSDK(questions *Questions) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: serverName, Version: serverVersion}, nil)
	ask := func(ctx context.Context, _ *mcp.CallToolRequest, a arguments) (*mcp.CallToolResult, any, error) {
		answer, err := a.run(ctx, questions)
		if err != nil {
			return nil, nil, err // the SDK makes a result with isError of it
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer}}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: toolName, Description: toolDescription}, ask)
	options := &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
}
