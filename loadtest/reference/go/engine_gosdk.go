package main

import (
	"context"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// callerKey is under which a tool finds the context of the HTTP request.
type callerKey struct{}

// newGoSDK serves MCP with the official SDK: no sessions, answers as plain JSON, one server for all.
func newGoSDK(questions *Questions) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: serverName, Version: serverVersion}, nil)
	ask := func(ctx context.Context, _ *mcp.CallToolRequest, a arguments) (*mcp.CallToolResult, any, error) {
		answer, err := a.run(callerContext(ctx), questions)
		if err != nil {
			return nil, nil, err // the SDK makes a result with isError of it
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer}}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: toolName, Description: toolDescription}, ask)
	options := &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, options)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), callerKey{}, r.Context())
		handler.ServeHTTP(w, r.WithContext(ctx))
	})
}

// callerContext returns the context that ends when the caller leaves. The
// SDK's own keeps the values of that one, but does not end with it.
func callerContext(ctx context.Context) context.Context {
	if caller, found := ctx.Value(callerKey{}).(context.Context); found {
		return caller
	}
	return ctx
}
