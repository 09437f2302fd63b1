package client_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestDocs holds the snippets of docs/client.md against the examples of this package, and its service config against gRPC.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/client.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(snippets) < 6 {
		t.Errorf("%d snippets", len(snippets))
	}
	code := regexp.MustCompile(`(?m)^\t`).ReplaceAllString(string(source), "")
	for _, s := range snippets {
		if !strings.Contains(code, string(s[1])) {
			t.Errorf("no example has this:\n%s", s[1])
		}
	}
	config := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(doc)
	if config == nil || !json.Valid(config[1]) {
		t.Fatal("no service config")
	}
	conn, err := grpc.NewClient("127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config[1])))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
