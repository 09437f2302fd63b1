package daemon

import (
	"encoding/asn1"
	"os"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/signer/tsp"
)

// stampingConfig is what stays of the section timestamps besides the client.
type stampingConfig struct {
	client tsp.Config
	place  value
}

// readTimeStamps reads whom to ask for time-stamps. Trust in the authorities is that of the section trust.
func (c *Config) readTimeStamps(v value) {
	c.timeStamps, c.stamping = nil, stampingConfig{place: v}
	if !v.present() {
		return
	}
	at := v.mapping("urls", "policy", "digest", "timeout_seconds", "rounds")
	config := tsp.Config{
		Digest: at("digest").choice("streebog256", "streebog512", "sha256", "sha384", "sha512"), Trust: c.trust,
		Timeout: seconds(at("timeout_seconds"), 60, 0), Rounds: at("rounds").number(1, 10),
	}
	config.URLs = at("urls").texts()
	c.sandbox.connects(config.URLs...)
	c.sandbox.connects(os.Getenv("HTTP_PROXY"), os.Getenv("http_proxy"), os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy"))
	if text := at("policy").text(); text != "" {
		oid, ok := objectIdentifier(text)
		if !ok {
			at("policy").fail("must be an object identifier, such as 1.2.643.2.2.38.4")
		}
		config.Policy = oid
	}
	if !at("urls").present() {
		missing(at("urls"), v)
	}
	if len(config.URLs) == 0 {
		return
	}
	client, err := tsp.NewClient(config)
	if err != nil {
		at("urls").fail("%s", strings.TrimPrefix(err.Error(), "tsp: "))
		return
	}
	c.timeStamps, c.stamping.client = client, config
}

func objectIdentifier(text string) (asn1.ObjectIdentifier, bool) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || len(oid) == 32 {
			return nil, false
		}
		oid = append(oid, int(n))
	}
	return oid, len(oid) >= 2 && oid[0] <= 2 && (oid[0] == 2 || oid[1] < 40)
}
