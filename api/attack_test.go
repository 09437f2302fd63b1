package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

// heap is what is in use, after what nobody holds has gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// settled holds what an attack has left behind against what was there before: places, goroutines, memory.
func (w *world) settled(t *testing.T, attack func()) {
	t.Helper()
	goroutines, octets := runtime.NumGoroutine(), heap()
	attack()
	await.True(t, "an idle server", w.idle)
	await.True(t, "the goroutines of before", func() bool { return runtime.NumGoroutine() <= goroutines+4 })
	await.True(t, "the memory of before", func() bool { return heap()-octets < 8<<20 }) // what is reset waits a moment for gRPC
}

// serves tells whether another client is served meanwhile.
func (w *world) serves(t *testing.T) {
	t.Helper()
	other := w.dial(t, "spiffe://example.ru/gateway")
	if _, err := other.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}); err != nil {
		t.Errorf("the other client: %v", err)
	}
	other.conn.Close()
}

// deaf connects as a client whose windows stay small, so that what it does not read stays at the server.
func (w *world) deaf(t *testing.T) *client {
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: w.tls.Pool(), ServerName: "epovd.test", Certificates: []tls.Certificate{w.tls.NewClient(t, "admin.example.ru")},
	})), grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	return &client{SignServiceClient: epovpb.NewSignServiceClient(conn), conn: conn}
}

// A client that asks for large answers and takes none of them has room for as many as it may have calls, and loses its connection.
func TestAnswersNobodyTakes(t *testing.T) {
	w := newWorld(t, Limits{Calls: 8, StallTime: 300 * time.Millisecond})
	w.serves(t)
	req := &epovpb.SignCmsRequest{Key: "keys/EXMP01/second", Profile: "pkcs7-attached",
		Source: &epovpb.SignCmsRequest_Content{Content: make([]byte, 2<<20)}}
	w.settled(t, func() {
		before := heap()
		c := w.deaf(t)
		defer c.conn.Close()
		for range 40 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{}, epovpb.SignService_SignCms_FullMethodName)
			if err != nil {
				continue // the connection is gone
			}
			s.SendMsg(req)
			s.CloseSend()
			time.Sleep(20 * time.Millisecond)
		}
		if more := heap() - before; more > 60<<20 {
			t.Errorf("%d MiB more", more>>20)
		}
		w.serves(t)
		await.True(t, "the end of the connection", func() bool { return strings.Contains(w.log.String(), "its client takes no answers") })
	})
}

// The same over a batch.
func TestBatchAnswersNobodyTakes(t *testing.T) {
	w := newWorld(t, Limits{Calls: 16, StallTime: 300 * time.Millisecond})
	w.serves(t)
	w.settled(t, func() {
		before := heap()
		c := w.deaf(t)
		defer c.conn.Close()
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				s, err := c.SignBatch(t.Context())
				if err != nil {
					return
				}
				for i := range 40 {
					item := &epovpb.SignItem{CorrelationId: uint64(i),
						Request: &epovpb.SignItem_Cms{Cms: &epovpb.SignCmsRequest{Key: "keys/EXMP01/second",
							Profile: "pkcs7-attached", Source: &epovpb.SignCmsRequest_Content{Content: make([]byte, 1<<20)}}}}
					if s.Send(&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{item}}) != nil {
						return
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		if more := heap() - before; more > 150<<20 {
			t.Errorf("%d MiB more", more>>20)
		}
		w.serves(t)
		group.Wait()
	})
}

// A slow client that does take its answer gets it whole.
func TestSlowClient(t *testing.T) {
	w := newWorld(t, Limits{StallTime: 200 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	s, err := c.SignCmsStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for part := range list(signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"}),
			signChunk(make([]byte, 1<<20)), signEnd(nil)) {
			s.Send(part)
		}
	}()
	octets := 0
	for {
		m, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		octets += len(m.GetChunk())
		time.Sleep(40 * time.Millisecond)
	}
	if octets < 1<<20 {
		t.Error(octets)
	}
}

// A batch that is left at any stage leaves nothing behind.
func TestBatchesThatAreLeft(t *testing.T) {
	w := newWorld(t, Limits{StallTime: time.Second})
	leave := make(chan struct{})
	var held atomic.Int32
	w.ring[0].hook = func(ctx context.Context) error {
		held.Add(1)
		defer held.Add(-1)
		select {
		case <-leave:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	c := w.dial(t, "admin.example.ru")
	c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	many := make([]*epovpb.SignItem, 5000)
	for i := range many {
		many[i] = &epovpb.SignItem{CorrelationId: 7} // one number for all; they ask for nothing
	}
	hanging := []*epovpb.SignItem{signItem(1, "keys/EXMP01/ov"), signItem(1, "keys/EXMP01/ov")}
	for name, stage := range map[string]func(ctx context.Context, s epovpb.SignService_SignBatchClient, cancel func()){
		"nothing sent": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) { cancel() },
		"only closed":  func(_ context.Context, s epovpb.SignService_SignBatchClient, _ func()) { s.CloseSend(); s.Recv() },
		"items unanswered": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) {
			s.Send(&epovpb.SignBatchRequest{Items: many})
			cancel()
		},
		"many, some read": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) {
			s.Send(&epovpb.SignBatchRequest{Items: many})
			s.Recv()
			cancel()
		},
		"items at the token": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) {
			s.Send(&epovpb.SignBatchRequest{Items: hanging})
			await.True(t, "two at work", func() bool { return held.Load() == 2 })
			cancel()
		},
		"closed, items at the token": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) {
			s.Send(&epovpb.SignBatchRequest{Items: hanging})
			s.CloseSend()
			await.True(t, "two at work", func() bool { return held.Load() == 2 })
			cancel()
		},
		"empty messages": func(_ context.Context, s epovpb.SignService_SignBatchClient, cancel func()) {
			for range 5000 {
				s.Send(&epovpb.SignBatchRequest{})
			}
			s.CloseSend()
			if _, err := s.Recv(); err != io.EOF {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.settled(t, func() {
				for range 5 {
					ctx, cancel := context.WithCancel(t.Context())
					s, err := c.SignBatch(ctx)
					if err != nil {
						t.Fatal(err)
					}
					stage(ctx, s, cancel)
					cancel()
					await.True(t, "nothing at the token", func() bool { return held.Load() == 0 })
				}
			})
		})
	}
	close(leave)
	s, err := c.SignBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { s.Send(&epovpb.SignBatchRequest{Items: many}); s.CloseSend() }()
	answered := 0
	for {
		m, err := s.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range m.Items {
			if a.CorrelationId != 7 || a.GetStatus().GetCode() != int32(codes.InvalidArgument) {
				t.Fatal(a)
			}
			answered++
		}
	}
	if answered != len(many) {
		t.Errorf("%d answers", answered)
	}
}

// A stream of content that goes nowhere is ended, by nothing at all and by chunks of nothing.
func TestContentThatGoesNowhere(t *testing.T) {
	w := newWorld(t, Limits{StallTime: 200 * time.Millisecond, StreamTime: 5 * time.Second})
	c := w.dial(t, "admin.example.ru")
	c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
	header := signHeader(&epovpb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached"})
	for name, part := range map[string]*epovpb.SignCmsStreamRequest{"nothing": nil, "empty chunks": signChunk([]byte{})} {
		t.Run(name, func(t *testing.T) {
			w.settled(t, func() {
				begun := time.Now()
				s, err := c.SignCmsStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.Send(header)
				stop := make(chan struct{})
				var group sync.WaitGroup
				group.Go(func() {
					for part != nil {
						select {
						case <-stop:
							return
						case <-time.After(time.Millisecond):
							s.Send(part)
						}
					}
				})
				for err == nil {
					_, err = s.Recv()
				}
				close(stop)
				group.Wait()
				if status.Code(err) != codes.DeadlineExceeded || time.Since(begun) > 4*time.Second {
					t.Errorf("%v after %v", err, time.Since(begun))
				}
			})
		})
	}
}

// A message of very many fields takes no more memory than one of few, over any kind of call.
func TestVeryManyFields(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "spiffe://example.ru/gateway")
	items := bytes.Repeat([]byte{0x0a, 0x00}, 8<<20)                                       // items of a batch
	nested := protowire.AppendBytes([]byte{0x0a}, bytes.Repeat([]byte{0x08, 0x01}, 1<<20)) // one number, again and again
	packed := protowire.AppendBytes([]byte{6<<3 | 2}, make([]byte, 1<<20))                 // SignCmsRequest.countersigned
	unknown := bytes.Repeat([]byte{0x98, 0x06, 0x00}, 1<<20)                               // field 99
	for name, try := range map[string]struct {
		method string
		octets []byte
	}{
		"items":   {epovpb.SignService_SignBatch_FullMethodName, items},
		"nested":  {epovpb.SignService_SignBatch_FullMethodName, nested},
		"packed":  {epovpb.SignService_SignCms_FullMethodName, packed},
		"unknown": {epovpb.SignService_SignXml_FullMethodName, unknown},
		"strings": {epovpb.VerifyService_VerifyXml_FullMethodName, bytes.Repeat([]byte{0x32, 0x00}, 1<<20)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.raw(t.Context(), try.method, [][]byte{try.octets})
		runtime.ReadMemStats(&after)
		told(t, name, err, codes.InvalidArgument, "REQUEST_LIMIT", "16384 fields and elements")
		if spent := after.TotalAlloc - before.TotalAlloc; spent > uint64(len(try.octets))*8+4<<20 { // gRPC's buffers of both sides
			t.Errorf("%s: %d MiB for %d", name, spent>>20, len(try.octets)>>20)
		}
	}
}

// FuzzCountFields: what may pass has no more fields than it may, as the decoder sees it.
func FuzzCountFields(f *testing.F) {
	for _, m := range []proto.Message{
		&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{signItem(1, "keys/EXMP01/ov"), signItem(2, "keys/EXMP01/ov")}},
		&epovpb.SignBatchRequest{Items: []*epovpb.SignItem{{Request: &epovpb.SignItem_Cms{Cms: &epovpb.SignCmsRequest{Countersigned: []uint32{1, 2, 3}}}}}},
	} {
		octets, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(octets, 20)
	}
	f.Fuzz(func(t *testing.T, octets []byte, most int) {
		if most < 0 {
			return
		}
		left, m := most, new(epovpb.SignBatchRequest)
		if within := countFields(octets, m.ProtoReflect().Descriptor(), &left, 0); !within || proto.Unmarshal(octets, m) != nil {
			return
		}
		if n := elements(m.ProtoReflect()); n > most {
			t.Errorf("%d fields, %d were allowed", n, most)
		}
	})
}

// elements are the known fields that a message has, and the elements of its lists.
func elements(m protoreflect.Message) (n int) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsList():
			n += value.List().Len()
			for i := range value.List().Len() {
				if field.Message() != nil {
					n += elements(value.List().Get(i).Message())
				}
			}
		case field.Message() != nil:
			n += 1 + elements(value.Message())
		default:
			n++
		}
		return true
	})
	return n
}

// Who asks after health, be it nobody that is known, leaves room for others to ask, and sends nothing large.
func TestHealthFlood(t *testing.T) {
	w := newWorld(t, Limits{Calls: 4})
	w.serves(t)
	w.settled(t, func() {
		stranger := w.dial(t, "stranger.example.ru")
		defer stranger.conn.Close()
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		var held, refused atomic.Int32
		for range 60 {
			group.Go(func() {
				s, err := healthpb.NewHealthClient(stranger.conn).Watch(ctx, &healthpb.HealthCheckRequest{})
				if err == nil {
					_, err = s.Recv()
				}
				if err != nil {
					told(t, "one too many", err, codes.ResourceExhausted, "OVERLOAD", "48")
					refused.Add(1)
					return
				}
				held.Add(1)
				s.Recv()
			})
		}
		await.True(t, "all have asked", func() bool { return held.Load()+refused.Load() == 60 })
		if held.Load() != 48 {
			t.Errorf("%d of 64 places are held", held.Load())
		}
		other := w.dial(t, "spiffe://example.ru/gateway")
		defer other.conn.Close()
		if _, err := healthpb.NewHealthClient(other.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Errorf("the other client: %v", err)
		}
		cancel()
		group.Wait()
	})
}

// A batch whose message has many items stops among them when the service does: what was begun is answered.
func TestStoppingWithinAMessage(t *testing.T) {
	w := newWorld(t, Limits{BatchItems: 8})
	entered, leave := make(chan struct{}, 1000), make(chan struct{})
	w.ring[0].hook = func(context.Context) error { entered <- struct{}{}; <-leave; return nil }
	s, err := w.dial(t, "admin.example.ru").SignBatch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var items []*epovpb.SignItem
	for i := range 500 {
		items = append(items, signItem(uint64(i), "keys/EXMP01/ov"))
	}
	if err := s.Send(&epovpb.SignBatchRequest{Items: items}); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		<-entered
	}
	w.server.Drain(true)
	time.Sleep(50 * time.Millisecond)
	close(leave)
	answered := 0
	for {
		m, err := s.Recv()
		if err != nil {
			if status.Code(err) != codes.Unavailable || answered != 8 {
				t.Errorf("%v after %d answers", err, answered)
			}
			break
		}
		answered += len(m.Items)
	}
}
