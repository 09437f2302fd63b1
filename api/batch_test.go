package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

func signItem(id uint64, key string) *epovpb.SignItem {
	return &epovpb.SignItem{CorrelationId: id, Request: &epovpb.SignItem_Xml{
		Xml: &epovpb.SignXmlRequest{Key: key, Profile: "smev3", Document: ack()},
	}}
}

// signBatch sends everything, and gathers the answers by their numbers.
func (c *client) signBatch(ctx context.Context, items ...*epovpb.SignItem) (map[uint64]*epovpb.SignedItem, error) {
	stream, err := c.SignBatch(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for i := 0; i < len(items); i += 3 { // several in a message
			if stream.Send(&epovpb.SignBatchRequest{Items: items[i:min(i+3, len(items))]}) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	answers := map[uint64]*epovpb.SignedItem{}
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		for _, a := range m.Items {
			if answers[a.CorrelationId] != nil {
				return nil, fmt.Errorf("%d is answered twice", a.CorrelationId)
			}
			answers[a.CorrelationId] = a
		}
	}
}

func TestSignBatch(t *testing.T) {
	w := newWorld(t, Limits{BatchItems: 4})
	c := w.dial(t, "admin.example.ru")
	var items []*epovpb.SignItem
	for i := range uint64(40) {
		switch i % 5 {
		case 0:
			items = append(items, signItem(i, "keys/EXMP01/ov"))
		case 1:
			items = append(items, &epovpb.SignItem{CorrelationId: i, Request: &epovpb.SignItem_Cms{Cms: &epovpb.SignCmsRequest{
				Key: "keys/EXMP01/second", Profile: "pkcs7-attached", Source: &epovpb.SignCmsRequest_Content{Content: []byte("x")}}}})
		case 2:
			items = append(items, &epovpb.SignItem{CorrelationId: i, Request: &epovpb.SignItem_Digest{Digest: &epovpb.SignDigestRequest{
				Key: "keys/EXMP01/ov", Digest: make([]byte, 32), DigestAlgorithm: "streebog256"}}})
		case 3:
			items = append(items, signItem(i, "keys/EXMP01/none"))
		case 4:
			items = append(items, &epovpb.SignItem{CorrelationId: i})
		}
	}
	answers, err := c.signBatch(t.Context(), items...)
	if err != nil || len(answers) != len(items) {
		t.Fatal(len(answers), err)
	}
	for i, a := range answers {
		switch i % 5 {
		case 0:
			r, err := c.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: a.GetXml().GetDocument()})
			if err != nil || r.Verdict != epovpb.Verdict_VERDICT_VALID {
				t.Error(i, a, r, err)
			}
		case 1:
			if a.GetCms().GetKey() != "keys/EXMP01/second/versions/3" {
				t.Error(i, a)
			}
		case 2:
			if w.ring[0].Public().Verify(make([]byte, 32), a.GetDigest().GetSignature()) != nil {
				t.Error(i, a)
			}
		case 3, 4:
			err := status.FromProto(a.GetStatus()).Err()
			want := map[uint64]string{3: "KEY_UNKNOWN", 4: "REQUEST_INVALID"}[i%5]
			if detail[errdetails.ErrorInfo](err).GetReason() != want || detail[errdetails.LocalizedMessage](err) == nil {
				t.Error(i, err)
			}
		}
	}
	await.True(t, "an idle server", w.idle)
}

// The service reads no further than it works: the rest waits at the caller.
func TestBatchInFlight(t *testing.T) {
	w := newWorld(t, Limits{BatchItems: 4})
	c := w.dial(t, "admin.example.ru")
	var working, most atomic.Int32
	leave := make(chan struct{})
	w.ring[0].hook = func(context.Context) error {
		n := working.Add(1)
		defer working.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-leave
		return nil
	}
	var items []*epovpb.SignItem
	for i := range uint64(50) {
		items = append(items, signItem(i, "keys/EXMP01/ov"))
	}
	items = append(items, signItem(50, "keys/EXMP01/second"))
	done := make(chan error, 1)
	go func() {
		answers, err := c.signBatch(context.Background(), items...)
		if err == nil && len(answers) != len(items) {
			err = fmt.Errorf("%d answers", len(answers))
		}
		done <- err
	}()
	await.True(t, "a full batch", func() bool { return working.Load() == 4 })
	if used := w.server.work.used.Load(); used != 4 {
		t.Errorf("%d places for four items", used)
	}
	close(leave)
	if err := <-done; err != nil || most.Load() != 4 {
		t.Errorf("%v, %d at once", err, most.Load())
	}
}

// A quick item overtakes a slow one, and an item that panics fails alone.
func TestBatchOrder(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	leave := make(chan struct{})
	w.ring[0].hook = func(ctx context.Context) error {
		select {
		case <-leave:
			panic("<payload/>")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stream, err := c.SignBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasty := signItem(3, "keys/EXMP01/ov")
	hasty.Timeout = durationpb.New(20 * time.Millisecond)
	odd := signItem(4, "keys/EXMP01/ov")
	odd.Timeout = durationpb.New(-time.Second)
	stream.Send(&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{
		signItem(1, "keys/EXMP01/ov"), signItem(2, "keys/EXMP01/second"), hasty, odd,
	}})
	var order []uint64
	reasons := map[uint64]string{}
	for len(order) < 4 {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(order, err)
		}
		for _, a := range m.Items {
			order = append(order, a.CorrelationId)
			reasons[a.CorrelationId] = detail[errdetails.ErrorInfo](status.FromProto(a.GetStatus()).Err()).GetReason()
		}
		if len(order) == 3 {
			close(leave)
		}
	}
	if order[3] != 1 || reasons[1] != "INTERNAL" || reasons[2] != "" || reasons[3] != "DEADLINE" || reasons[4] != "REQUEST_INVALID" {
		t.Error(order, reasons)
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
}

// When the service stops, what is at work is answered, and the batch ends with the reason.
func TestBatchWhenStopping(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	w.ring[0].hook = func(context.Context) error { entered <- struct{}{}; <-leave; return nil }
	stream, err := c.SignBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	watch, err := c.WatchKeys(t.Context(), &epovpb.WatchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	stream.Send(&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{signItem(1, "keys/EXMP01/ov")}})
	<-entered
	var group sync.WaitGroup
	group.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if !w.server.Shutdown(ctx) {
			t.Error("cut off")
		}
	})
	if _, err := watch.Recv(); detail[errdetails.ErrorInfo](err).GetReason() != "SERVICE_DRAINING" {
		t.Error(err)
	}
	close(leave)
	if m, err := stream.Recv(); err != nil || m.Items[0].GetXml() == nil {
		t.Error(m, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable ||
		detail[errdetails.ErrorInfo](err).GetReason() != "SERVICE_DRAINING" ||
		detail[errdetails.RetryInfo](err) == nil {
		t.Error(err)
	}
	group.Wait()
}

// A caller that goes leaves nothing at work.
func TestBatchCancelled(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	entered := make(chan struct{}, 8)
	w.ring[0].hook = func(ctx context.Context) error { entered <- struct{}{}; <-ctx.Done(); return ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := c.signBatch(ctx, signItem(1, "keys/EXMP01/ov")); done <- err }()
	<-entered
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	await.True(t, "an idle server", w.idle)
}

// Batches end by themselves, and have places of their own.
func TestBatchBounds(t *testing.T) {
	w := newWorld(t, Limits{Batches: 4, BatchTime: 200 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	var streams []interface {
		Recv() (*epovpb.SignBatchResponse, error)
	}
	for range 3 { // of four, one is left to other clients
		s, err := c.SignBatch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	await.True(t, "three batches", func() bool { return w.server.batches.used.Load() == 3 })
	if _, err := c.signBatch(t.Context()); detail[errdetails.ErrorInfo](err).GetReason() != "OVERLOAD" {
		t.Error(err)
	}
	if _, err := c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}); err != nil {
		t.Error(err)
	}
	for _, s := range streams {
		if _, err := s.Recv(); err != io.EOF {
			t.Error(err)
		}
	}
	await.True(t, "an idle server", w.idle)
}

func TestVerifyBatch(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	signed, err := c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.VerifyBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	xml := func(id uint64, document []byte) *epovpb.VerifyItem {
		return &epovpb.VerifyItem{CorrelationId: id, Request: &epovpb.VerifyItem_Xml{Xml: &epovpb.VerifyXmlRequest{Document: document}}}
	}
	stream.Send(&epovpb.VerifyBatchRequest{Items: []*epovpb.VerifyItem{xml(1, signed.Document), xml(2, ack()),
		xml(3, []byte("<")), {CorrelationId: 4}}})
	stream.CloseSend()
	got := map[uint64]string{}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Items {
			if got[a.CorrelationId] = a.GetXml().GetVerdict().String(); a.GetStatus() != nil {
				got[a.CorrelationId] = detail[errdetails.ErrorInfo](status.FromProto(a.GetStatus()).Err()).GetReason()
			}
		}
	}
	want := map[uint64]string{1: "VERDICT_VALID", 2: "VERDICT_INVALID", 3: "XML_SYNTAX", 4: "REQUEST_INVALID"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error(got)
	}
}

// FuzzSignBatch: any items in any grouping are each answered once.
func FuzzSignBatch(f *testing.F) {
	w := newWorld(f, Limits{BatchItems: 3})
	c := w.dial(f, "admin.example.ru")
	f.Add([]byte{0, 1, 2, 3, 4})
	f.Add([]byte{})
	f.Add([]byte{9, 9, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, kinds []byte) {
		if len(kinds) > 40 {
			return
		}
		var items []*epovpb.SignItem
		for i, k := range kinds {
			item := signItem(uint64(i), "keys/EXMP01/ov")
			switch k % 5 {
			case 1:
				item.Request = nil
			case 2:
				item.GetXml().Document = kinds
			case 3:
				item.Timeout = &durationpb.Duration{Seconds: int64(k) - 100, Nanos: -int32(k)}
			case 4:
				item.GetXml().Key = strings.ToValidUTF8(string(kinds), "?")
			}
			items = append(items, item)
		}
		answers, err := c.signBatch(t.Context(), items...)
		if err != nil || len(answers) != len(items) {
			t.Errorf("%v: %d answers, %v", kinds, len(answers), err)
		}
	})
}
