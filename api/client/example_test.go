package client_test

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
)

// What the snippets take from their surroundings.
var (
	ctx      = context.Background()
	message3 []byte
	service  *client.Client
)

func send([]byte) {}

func Example() {
	service, err := client.Dial(client.Config{
		Addresses: []string{"epovd-1.example.ru:8443", "epovd-2.example.ru:8443"},
		TLS:       client.Files("client.pem", "client.key", "daemons-ca.pem"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	signed, err := service.SignSMEV3(ctx, "keys/EXMP01/ov", message3)
	if err != nil {
		log.Fatal(err)
	}
	send(signed.Document) // signed by signed.Key, an exact version
}

func Example_errors() {
	_, err := service.SignSMEV3(ctx, "keys/EXMP01/ov", message3)
	switch e := client.AsError(err); {
	case err == nil:
	case errors.Is(err, client.Because(epovpb.ErrorReason_TARGET_SIGNED)):
		log.Print("signed already")
	case e != nil && e.RetryAfter > 0: // the client has tried as often as it may
		time.Sleep(e.RetryAfter)
	case e != nil && e.Place.Line > 0:
		log.Printf("line %d: %s; SMEV would answer %s", e.Place.Line, e.Message, e.SMEVFault)
	default:
		log.Print(err)
	}
}

func Example_repeat() {
	request := &epovpb.SignXmlRequest{
		Key: "keys/EXMP01/ov", Profile: "smev3", Document: message3,
		RequestId: "message 8c1c0a10-f1ee-11f0-8a5e-0242ac120002", // kept by the gateway with the message
	}
	signed, err := service.SignXML(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	send(signed.Document)
}

func ExampleClient_Signer() {
	key, err := service.Signer(ctx, "keys/EXMP01/ov")
	if err != nil {
		log.Fatal(err)
	}
	request, err := gost.PrepareRequest(gost.RequestTemplate{}, key.Public().(*gost.PublicKey))
	if err != nil {
		log.Fatal(err)
	}
	signature, err := key.Sign(nil, request.Digest(), nil) // s || r, verified
	if err != nil {
		log.Fatal(err)
	}
	der, err := request.Complete(signature)
	if err != nil {
		log.Fatal(err)
	}
	send(der)
}

func ExampleClient_SignAll() {
	documents := func(yield func(*epovpb.SignXmlRequest) bool) {
		for range 1000 {
			if !yield(&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: message3}) {
				return
			}
		}
	}
	for signed, err := range service.SignAll(ctx, documents) {
		if err != nil {
			log.Print(err)
			continue
		}
		send(signed.Document)
	}
}

func ExampleClient_SignCMSStream() {
	content, err := os.Open("attachment.bin")
	if err != nil {
		log.Fatal(err)
	}
	defer content.Close()
	var out io.Writer = os.Stdout
	end, err := service.SignCMSStream(ctx, &epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached"}, content, out)
	if err != nil {
		log.Fatal(err) // what was written so far is no message
	}
	log.Print("signed by ", end.Key)
}

func ExampleClient_VerifyAll() {
	received := func(yield func(*epovpb.VerifyXmlRequest) bool) {
		for range 1000 {
			if !yield(&epovpb.VerifyXmlRequest{Document: message3, Profile: "smev3"}) {
				return
			}
		}
	}
	for answer, err := range service.VerifyAll(ctx, received) {
		if invalid, ok := errors.AsType[*client.InvalidError](err); ok {
			log.Print(invalid) // examined, and not valid: invalid.Report says why
		} else if err != nil {
			log.Print(err)
		} else {
			log.Print(answer.Report.Signatures[0].Signer.Subject)
		}
	}
}

func ExampleClient_WatchKeys() {
	for change, err := range service.WatchKeys(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for _, key := range change.Keys {
			log.Print(key.Name, " ", key.State, " ", key.StateMessage)
		}
	}
}
