package api_test

import (
	"context"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/epov-signer/epov/api/client"
)

// What the snippet in README.md takes from its surroundings.
var message []byte

func send([]byte) {}

func Example() {
	service, err := client.Dial(client.Config{
		Addresses: []string{"epovd.example:8443"},
		TLS:       client.Files("client.pem", "client.key", "daemons-ca.pem"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	signed, err := service.SignSMEV3(context.Background(), "keys/EXMP01/ov", message)
	if err != nil {
		log.Fatal(err) // with a stable reason, the place in the document, and SMEV's name for the fault: client.AsError
	}
	send(signed.Document)
}

// TestReadme holds the snippet in README.md against the function above.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "```go\n")
	snippet, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no Go snippet")
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), "\n"+snippet) {
		t.Error("the snippet in README.md is not the function Example")
	}
}
