package api_test

import (
	"context"
	"crypto/tls"
	"log"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/api/epovpb"
)

// What the snippet in README.md takes from its surroundings.
var (
	clientTLS *tls.Config
	message   []byte
)

func send([]byte) {}

func Example() {
	conn, err := grpc.NewClient("epovd.example:8443", grpc.WithTransportCredentials(credentials.NewTLS(clientTLS)))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	answer, err := epovpb.NewSignServiceClient(conn).SignXml(context.Background(), &epovpb.SignXmlRequest{
		Key:      "keys/EXMP01/ov",
		Profile:  "smev3",
		Document: message,
	})
	if err != nil {
		log.Fatal(err) // a gRPC status with a stable reason, the place in the document, and SMEV's name for the fault
	}
	send(answer.Document)
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
