// Reads and writes callers' sessions as a Go service that shares the cluster does: with
// go-redis's ClusterClient, plain GET and SET, and a struct for encoding/json.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// metadata is the service's own business.
type metadata struct {
	Tags    []string       `json:"tags"`
	Seen    int64          `json:"seen"`
	Score   float64        `json:"score"`
	Note    string         `json:"note"`
	Token   []byte         `json:"token"`
	Nested  map[string]any `json:"nested"`
	Nothing *string        `json:"nothing"`
}

// sessionData is what the service knows of a session. What it does not know it drops.
type sessionData struct {
	ID        string    `json:"id"`
	UserID    string    `json:"user_id"`
	CreatedAt time.Time `json:"created_at"`
	Metadata  *metadata `json:"metadata,omitempty"`
	Attempts  uint64    `json:"attempts"`
	// Of the gateway's fields.
	Tenant          string         `json:"tenant,omitempty"`
	Subject         string         `json:"subject,omitempty"`
	ProtocolVersion string         `json:"protocol_version,omitempty"`
	ClientName      string         `json:"client_name,omitempty"`
	Capabilities    map[string]any `json:"capabilities,omitempty"`
	LogLevel        string         `json:"log_level,omitempty"`
}

func main() {
	addrs := flag.String("addrs", "", "host:port of some nodes, with commas between them")
	id := flag.String("id", "", "the session's id")
	write := flag.Bool("write", false, "write one, instead of reading it")
	flag.Parse()
	if err := run(strings.Split(*addrs, ","), "session:"+*id, *id, *write); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(addrs []string, key, id string, write bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer client.Close()
	if write {
		data, err := json.Marshal(example(id))
		if err != nil {
			return err
		}
		if err := client.Set(ctx, key, data, 2*time.Hour).Err(); err != nil {
			return err
		}
		_, err = os.Stdout.Write(data)
		return err
	}
	value, err := client.Get(ctx, key).Bytes()
	if err != nil {
		return err
	}
	var data sessionData
	if err := json.Unmarshal(value, &data); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(data)
}

func example(id string) sessionData {
	return sessionData{
		ID:        id,
		UserID:    "ann <ann@example.org>",
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC),
		Metadata: &metadata{
			Tags:   nil,
			Seen:   1767323045123456789,
			Score:  1e21,
			Note:   "a & b\u2028\"\b\u00e9",
			Token:  []byte{0, 255},
			Nested: map[string]any{"b": 0.1, "a": []any{true, nil}},
		},
		Attempts: 18446744073709551615,
	}
}
