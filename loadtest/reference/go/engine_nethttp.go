package main

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

const (
	// maxBody bounds what a caller may send at once.
	maxBody = 4 << 20
	// protocolVersion is the revision that is spoken, whichever a client asks for.
	protocolVersion = "2025-11-25"

	parseError     = -32700
	invalidRequest = -32600
	methodNotFound = -32601
	invalidParams  = -32602
)

// netHTTP serves MCP with the standard library alone: the least that a caller can notice.
type netHTTP struct {
	questions *Questions
}

// rpcRequest holds what all requests have; without an id it is a notification.
type rpcRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

// callParams are those of tools/call.
type callParams struct {
	Name      string    `json:"name"`
	Arguments arguments `json:"arguments"`
}

type rpcResponse struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type callResult struct {
	Content []textContent `json:"content"`
	IsError bool          `json:"isError,omitempty"`
}

type textContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

const toolList = `{"tools":[{"name":"` + toolName + `","description":"` + toolDescription + `","inputSchema":{` +
	`"type":"object","required":["question"],"properties":{` +
	`"question":{"type":"string","description":"what to ask the user"},` +
	`"timeout_seconds":{"type":"number","description":"how long to wait for an answer; 300 by default"}}}}]}`

const initializeResult = `{"protocolVersion":"` + protocolVersion + `","capabilities":{"tools":{}},` +
	`"serverInfo":{"name":"` + serverName + `","version":"` + serverVersion + `"}}`

// newNetHTTP serves MCP by hand.
func newNetHTTP(questions *Questions) http.Handler {
	return &netHTTP{questions: questions}
}

// ServeHTTP takes one message. The body is read to its end, from where on
// net/http watches the connection and ends the context when the caller leaves.
func (n *netHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST only: there are no streams and no sessions", http.StatusMethodNotAllowed)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
		}
		return
	}
	var request rpcRequest
	if err := json.Unmarshal(body, &request); err != nil {
		reply(w, http.StatusBadRequest, failure(nil, parseError, "not a JSON-RPC message"))
		return
	}
	switch {
	case request.Version != "2.0" || request.Method == "":
		reply(w, http.StatusBadRequest, failure(request.ID, invalidRequest, "not a JSON-RPC request"))
	case request.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	default:
		reply(w, http.StatusOK, n.answer(r, request))
	}
}

func (n *netHTTP) answer(r *http.Request, request rpcRequest) rpcResponse {
	switch request.Method {
	case "tools/call":
		return n.call(r, request)
	case "tools/list":
		return success(request.ID, json.RawMessage(toolList))
	case "initialize":
		return success(request.ID, json.RawMessage(initializeResult))
	case "ping":
		return success(request.ID, struct{}{})
	default:
		return failure(request.ID, methodNotFound, "no method "+request.Method)
	}
}

func (n *netHTTP) call(r *http.Request, request rpcRequest) rpcResponse {
	var params callParams
	if err := json.Unmarshal(request.Params, &params); err != nil {
		return failure(request.ID, invalidParams, err.Error())
	}
	if params.Name != toolName {
		return failure(request.ID, invalidParams, "no tool "+params.Name)
	}
	text, err := params.Arguments.run(r.Context(), n.questions)
	if err != nil {
		text = err.Error()
	}
	content := []textContent{{Type: "text", Text: text}}
	return success(request.ID, callResult{Content: content, IsError: err != nil})
}

func success(id json.RawMessage, result any) rpcResponse {
	return rpcResponse{Version: "2.0", ID: id, Result: result}
}

func failure(id json.RawMessage, code int, message string) rpcResponse {
	return rpcResponse{Version: "2.0", ID: id, Error: &rpcError{Code: code, Message: message}}
}

// reply writes all at once, so that net/http can tell the length.
func reply(w http.ResponseWriter, status int, response rpcResponse) {
	body, err := json.Marshal(response)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
