package cms_test

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/trust"
)

func read(name string) []byte {
	data, err := os.ReadFile(vectors.Path("gost/certs/2012-256-cpA/" + name))
	if err != nil {
		panic(err)
	}
	return data
}

func certificates(name string) []*gost.Certificate {
	list, err := gost.ParseCertificates(read(name))
	if err != nil {
		panic(err)
	}
	return list
}

// Sign an attachment and verify it. The key may live anywhere: only the digest goes to it.
func Example() {
	block, _ := pem.Decode(read("leaf.key"))
	key, err := gost.ParsePrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	content, now := []byte("attachment"), time.Unix(vectors.Time, 0)

	prepared, err := cms.ProfileByName("cades-bes-detached").Prepare(cms.Input{
		Content: content, Certificate: certificates("leaf.pem")[0], Chain: certificates("int.pem"), Time: now,
	})
	if err != nil {
		panic(err)
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		panic(err)
	}
	message, err := prepared.Complete(signature)
	if err != nil {
		panic(err)
	}

	report, err := cms.Verify(message, cms.Policy{
		Trust: trust.New(certificates("root.pem"), nil), Time: now, Detached: true, Content: content,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Verdict(), report.Signatures[0].Algorithm, report.Signatures[0].Signer.Serial)
	// Output: valid gost2012-256 1003
}

// Sign a content of any size where it lies: its octets go by twice, once to be hashed and once into the message.
func ExampleAttach() {
	block, _ := pem.Decode(read("leaf.key"))
	key, err := gost.ParsePrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	content, now := strings.NewReader(strings.Repeat("a long content ", 100_000)), time.Unix(vectors.Time, 0)

	prepared, err := cms.ProfileByName("cades-bes-detached").Prepare(cms.Input{
		Reader: content, Certificate: certificates("leaf.pem")[0], Chain: certificates("int.pem"), Time: now,
	})
	if err != nil {
		panic(err)
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		panic(err)
	}
	detached, err := prepared.Complete(signature)
	if err != nil {
		panic(err)
	}
	var file bytes.Buffer
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		panic(err)
	}
	if err := cms.Attach(&file, detached, content, content.Size()); err != nil {
		panic(err)
	}

	report, err := cms.VerifyStream(&file, cms.Policy{Trust: trust.New(certificates("root.pem"), nil), Time: now})
	if err != nil {
		panic(err)
	}
	fmt.Println(report.Verdict(), report.Signatures[0].Coverage[0].Octets)
	// Output: valid 1500000
}
