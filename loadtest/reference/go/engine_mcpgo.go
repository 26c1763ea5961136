package main

import (
	"context"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// newMCPGo serves MCP with mark3labs/mcp-go: no sessions, no streams.
func newMCPGo(questions *Questions) http.Handler {
	tool := mcp.NewTool(
		toolName,
		mcp.WithDescription(toolDescription),
		mcp.WithString("question", mcp.Required(), mcp.Description("what to ask the user")),
		mcp.WithNumber("timeout_seconds", mcp.Description("how long to wait for an answer; 300 by default")),
	)
	ask := func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		a := arguments{
			Question:       request.GetString("question", ""),
			TimeoutSeconds: request.GetFloat("timeout_seconds", 0),
		}
		answer, err := a.run(ctx, questions)
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		return mcp.NewToolResultText(answer), nil
	}
	mcpServer := server.NewMCPServer(serverName, serverVersion)
	mcpServer.AddTool(tool, ask)
	return server.NewStreamableHTTPServer(mcpServer, server.WithStateLess(true), server.WithDisableStreaming(true))
}
