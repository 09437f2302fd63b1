package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/signer"
)

// One request id at the same moment over unary calls and batches, with the same content and with another, by one caller and by
// another: the token signs once for each content that wins, whoever asks for the same gets the same octets, and everybody else is
// refused by name.
func TestOneRequestIdFromEverywhere(t *testing.T) {
	w := newWorld(t, Limits{})
	var signatures atomic.Int32
	w.ring[0].hook = func(context.Context) error { signatures.Add(1); time.Sleep(5 * time.Millisecond); return nil }
	admin, gateway := w.dial(t, "admin.example.ru"), w.dial(t, "spiffe://example.ru/gateway")
	other := bytes.Replace(ack(), []byte("accepted=\"true\""), []byte("accepted=\"false\""), 1)
	for round := range 5 {
		signatures.Store(0)
		var mutex sync.Mutex
		answers := map[string]map[string]bool{}
		refused := 0
		note := func(who string, document []byte, err error) {
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				if status.Code(err) != codes.AlreadyExists || detail[errdetails.ErrorInfo](err).GetReason() != "REQUEST_ID_REUSED" {
					t.Error(err)
				}
				refused++
				return
			}
			if answers[who] == nil {
				answers[who] = map[string]bool{}
			}
			answers[who][string(document)] = true
		}
		request := func(document []byte) *epovpb.SignXmlRequest {
			return &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: document,
				RequestId: fmt.Sprint("round", round)}
		}
		var group sync.WaitGroup
		for i := range 12 {
			document := ack()
			if i%3 == 2 {
				document = other
			}
			for who, c := range map[string]*client{"admin": admin, "gateway": gateway} {
				group.Go(func() {
					a, err := c.SignXml(t.Context(), request(document))
					note(who, a.GetDocument(), err)
				})
				group.Go(func() {
					m, err := c.signBatch(t.Context(),
						&epovpb.SignItem{CorrelationId: 1, Request: &epovpb.SignItem_Xml{Xml: request(document)}})
					if err != nil {
						t.Error(err)
						return
					}
					if s := m[1].GetStatus(); s != nil {
						err = status.FromProto(s).Err()
					}
					note(who, m[1].GetXml().GetDocument(), err)
				})
			}
		}
		group.Go(func() { // the same id for something else
			_, err := admin.signStream(t.Context(), io.Discard, list(signHeader(&epovpb.SignCmsHeader{
				Key: "keys/EXMP01/second", Profile: "pkcs7-attached", RequestId: "stream"}), signChunk([]byte("x")), signEnd(nil)))
			if err != nil && status.Code(err) != codes.AlreadyExists {
				t.Error(err)
			}
		})
		group.Wait()
		if signatures.Load() != 2 || len(answers["admin"]) != 1 || len(answers["gateway"]) != 1 || refused == 0 || refused == 48 {
			t.Errorf("%d signatures, %d and %d answers, %d refusals", signatures.Load(), len(answers["admin"]),
				len(answers["gateway"]), refused)
		}
		for document := range answers["admin"] {
			if answers["gateway"][document] {
				t.Error("one caller has another's answer")
			}
		}
	}
	await.True(t, "an idle server", w.idle)
}

// While answers are forgotten under pressure nobody gets a wrong one.
func TestRequestIdsUnderPressure(t *testing.T) {
	w := newWorld(t, Limits{})
	service, err := signer.New(signer.Config{
		Keys: w.ring, Access: w.server.signing.Access(), Logger: w.server.log,
		RequestIDs: signer.RequestIDs{Entries: 8, Bytes: 8 << 10, TotalBytes: 10 << 10},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.signing = service
	c := w.dial(t, "admin.example.ru")
	var group sync.WaitGroup
	var replayed atomic.Int32
	for g := range 8 {
		group.Go(func() {
			for i := range 60 {
				content := []byte(strings.Repeat(fmt.Sprint("content ", i%12, " "), 20))
				answer, err := c.SignCms(t.Context(), &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached",
					RequestId: fmt.Sprint(i % 12), Source: &epovpb.SignCmsRequest_Content{Content: content}})
				if err != nil || !bytes.Contains(answer.Message, content) {
					t.Errorf("%d, %d: %v", g, i, err)
					return
				}
				if answer.Act.Replayed {
					replayed.Add(1)
				}
				if v, err := c.VerifyCms(t.Context(), &epovpb.VerifyCmsRequest{Message: answer.Message}); err != nil ||
					v.Integrity != epovpb.Verdict_VERDICT_VALID {
					t.Errorf("%d, %d: %v, %v", g, i, v, err)
				}
			}
		})
	}
	group.Wait()
	if n := replayed.Load(); n == 0 || n == 480 {
		t.Errorf("%d were replayed", n)
	}
}

// A connection whose age is over in the middle of a batch: every item is answered.
func TestConnectionAgeInABatch(t *testing.T) {
	w := newWorld(t, Limits{ConnectionAge: 100 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	w.settled(t, func() {
		s, err := c.SignBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			if err := s.Send(&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{signItem(uint64(i), "keys/EXMP01/ov")}}); err != nil {
				t.Fatal(i, err)
			}
			if m, err := s.Recv(); err != nil || m.Items[0].GetXml() == nil {
				t.Fatal(i, m, err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		s.CloseSend()
		if _, err := s.Recv(); err != io.EOF {
			t.Error(err)
		}
		c.conn.Close()
	})
}

// A panic of a handler is answered for its item or call alone, tells the caller nothing, and keeps no place.
func TestPanicsInItems(t *testing.T) {
	w := newWorld(t, Limits{})
	w.ring[0].hook = func(context.Context) error { panic("<secret/>") }
	c := w.dial(t, "admin.example.ru")
	c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	w.settled(t, func() {
		for range 20 {
			m, err := c.signBatch(t.Context(), signItem(1, "keys/EXMP01/ov"), signItem(2, "keys/EXMP01/second"))
			if err != nil || m[1].GetStatus().GetCode() != int32(codes.Internal) || m[2].GetXml() == nil ||
				strings.Contains(m[1].String(), "secret") {
				t.Fatal(m, err)
			}
			req := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack(), RequestId: "same"}
			if _, err := c.SignXml(t.Context(), req); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
				t.Fatal(err)
			}
		}
	})
	if strings.Contains(w.log.String(), "<secret") {
		t.Error("the log has the panic's value")
	}
}

// Headers beyond the limit are reset, and the connection serves on.
func TestMetadataFlood(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	w.settled(t, func() {
		for range 200 {
			ctx := t.Context()
			for i := range 30 {
				ctx = metadata.AppendToOutgoingContext(ctx, fmt.Sprint("x-", i), strings.Repeat("y", 1000))
			}
			if _, err := c.ListKeys(ctx, &epovpb.ListKeysRequest{}); err == nil {
				t.Fatal("30 KB of headers are taken")
			}
		}
		if _, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{}); err != nil {
			t.Error(err)
		}
	})
}
