package main

// incoming is all that a frontend may say.
type incoming struct {
	Type      string `json:"type"`
	RequestID string `json:"request_id"`
	Answer    string `json:"answer"`
}

// connectAck tells a frontend that its connect has arrived.
type connectAck struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// askUser shows a question.
type askUser struct {
	Type      string `json:"type"`
	RequestID string `json:"request_id"`
	Question  string `json:"question"`
}

// responseAck tells a frontend that its answer is of no use. An answer that is used has no reply.
type responseAck struct {
	Type      string `json:"type"`
	RequestID string `json:"request_id"`
	Status    string `json:"status"`
}
