package signer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
)

// heldKey counts its signatures, and makes each wait until it is let go; nil: none waits.
type heldKey struct {
	*softKey
	count atomic.Int64
	hold  chan error
}

func (k *heldKey) SignDigest(ctx context.Context, digest []byte, flow Flow) (gost.Verified, error) {
	k.count.Add(1)
	if k.hold != nil {
		select {
		case err := <-k.hold:
			if err != nil {
				return gost.Verified{}, err
			}
		case <-ctx.Done():
			return gost.Verified{}, ctx.Err()
		}
	}
	return testpki.Sign(k.key, digest)
}

// oneKey is a ring whose key can be exchanged.
type oneKey struct{ atomic.Pointer[heldKey] }

func (r *oneKey) Key(string) (Key, error) { return r.Load(), nil }
func (r *oneKey) Keys() []Key             { return []Key{r.Load()} }

// replaying is a service with one key that counts.
func replaying(t *testing.T, limits RequestIDs) (*world, *oneKey, *fakeLog) {
	w, log := audited(t)
	ring := &oneKey{}
	ring.Store(&heldKey{softKey: w.ring[0]})
	w.Service.keys = ring
	w.Service.replays = newReplays(limits, time.Now)
	return w, ring, log
}

// Every kind of request, repeated, gets the same octets without a second signature.
func TestRepetitionGetsTheSameAnswer(t *testing.T) {
	w, ring, log := replaying(t, RequestIDs{})
	content := bytes.Repeat([]byte("content "), 1<<12)
	digest := make([]byte, 32)
	ctx := t.Context()
	stream := func(profile string, size int64) func(id string) (Signed, error) {
		return func(id string) (Signed, error) {
			var message bytes.Buffer
			out, err := w.SignCMSStream(ctx, w.admin,
				SignCMSStreamRequest{Key: "keys/EXMP01/ov", Profile: profile, Size: size, RequestID: id},
				bytes.NewReader(content), &message)
			out.Bytes = message.Bytes()
			return out, err
		}
	}
	for name, ask := range map[string]func(id string) (Signed, error){
		"smev3": func(id string) (Signed, error) {
			return w.SignXML(ctx, w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned(), RequestID: id})
		},
		"enveloping": func(id string) (Signed, error) {
			return w.SignXML(ctx, w.admin,
				SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "enveloping", Document: unsigned(), RequestID: id})
		},
		"attached": func(id string) (Signed, error) {
			return w.SignCMS(ctx, w.admin,
				SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "cades-bes-attached", Content: content, RequestID: id})
		},
		"by digest": func(id string) (Signed, error) {
			return w.SignCMS(ctx, w.admin,
				SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", ByDigest: true, Digest: digest, RequestID: id})
		},
		"digest": func(id string) (Signed, error) {
			return w.SignDigest(ctx, w.admin,
				SignDigestRequest{Key: "keys/EXMP01/ov", Digest: digest, DigestAlgorithm: "streebog256", RequestID: id})
		},
		"stream, detached":     stream("cades-bes-detached", cms.UnknownSize),
		"stream, attached":     stream("cades-bes-attached", int64(len(content))),
		"stream, attached BER": stream("pkcs7-attached", cms.UnknownSize),
	} {
		t.Run(name, func(t *testing.T) {
			signed, recorded := ring.Load().count.Load(), len(log.records)
			first, err := ask(name)
			if err != nil {
				t.Skip(err)
			}
			// Another time, another primary version: what was answered does not change.
			time.Sleep(1100 * time.Millisecond) // signingTime counts seconds
			before := ring.Load()
			other := &heldKey{softKey: w.ring[1]}
			ring.Store(other)
			again, err := ask(name)
			ring.Store(before)
			if err != nil || !bytes.Equal(first.Bytes, again.Bytes) || !again.Replayed || again.Key != first.Key ||
				again.Fingerprint != first.Fingerprint {
				t.Fatalf("%v: %d and %d octets, by %s and %s", err, len(first.Bytes), len(again.Bytes), first.Key, again.Key)
			}
			if n := ring.Load().count.Load() - signed + other.count.Load(); n != 1 {
				t.Errorf("%d signatures", n)
			}
			last := log.records[len(log.records)-1]
			if len(log.records) != recorded+2 || last.Kind != audit.Replay || last.Original == nil || *last.Original != first.Audit.Index ||
				last.Request != name || last.Certificate != first.Fingerprint {
				t.Errorf("%+v", last)
			}
			without, err := ask("")
			if err != nil || bytes.Equal(without.Bytes, first.Bytes) {
				t.Error("without an id nothing is repeated", err)
			}
		})
	}
}

func TestAnotherRequestUnderTheSameID(t *testing.T) {
	w, _, log := replaying(t, RequestIDs{})
	first := SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned(), RequestID: "a"}
	if _, err := w.SignXML(t.Context(), w.admin, first); err != nil {
		t.Fatal(err)
	}
	others := map[string]SignXMLRequest{}
	for name, change := range map[string]func(*SignXMLRequest){
		"document": func(r *SignXMLRequest) { r.Document = append(r.Document, ' ') },
		"profile":  func(r *SignXMLRequest) { r.Profile = "enveloped" },
		"target":   func(r *SignXMLRequest) { r.Target = "SIGNED_BY_CALLER" },
		"key":      func(r *SignXMLRequest) { r.Key += "/versions/1" },
		"time":     func(r *SignXMLRequest) { r.Time = time.Now() },
	} {
		r := first
		change(&r)
		others[name] = r
	}
	for name, r := range others {
		if _, err := w.SignXML(t.Context(), w.admin, r); code(err) != string(report.RequestIDReused) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// Of a stream only the end tells.
	ask := func(content string) error {
		_, err := w.SignCMSStream(t.Context(), w.admin, SignCMSStreamRequest{
			Key: "keys/EXMP01/ov", Profile: "pkcs7-attached", Size: cms.UnknownSize, RequestID: "stream",
		}, strings.NewReader(content), &bytes.Buffer{})
		return err
	}
	if err := ask("one"); err != nil {
		t.Fatal(err)
	}
	if err := ask("another"); code(err) != string(report.RequestIDReused) {
		t.Error(err)
	}
	if r := log.records[len(log.records)-1]; r.Kind != audit.Refusal {
		t.Errorf("%+v", r)
	}
	// Ids are each caller's own; and no more than ASCII.
	for _, id := range []string{"a b", "ä", strings.Repeat("x", maxRequestID+1), "\x00"} {
		r := first
		r.RequestID = id
		if _, err := w.SignXML(t.Context(), w.admin, r); code(err) != string(report.RequestInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Whoever asks again while the first is at work waits for its answer.
func TestRepetitionWhileAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ring, _ := replaying(t, RequestIDs{})
		ring.Load().hold = make(chan error)
		ask := func(ctx context.Context) (Signed, error) {
			return w.SignXML(ctx, w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned(), RequestID: "a"})
		}
		const callers = 8
		var group sync.WaitGroup
		answers := make([]Signed, callers)
		for i := range callers {
			group.Go(func() { answers[i], _ = ask(t.Context()) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := ask(ctx); code(err) != string(report.Deadline) {
			t.Error("a waiting one whose time runs out:", err)
		}
		if _, err := w.SignXML(t.Context(), w.admin,
			SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev2", RequestID: "a"}); code(err) != string(report.RequestIDReused) {
			t.Error("another one does not wait:", err)
		}
		// The first fails: that is its own affair, the next one signs.
		ring.Load().hold <- errors.New("broken")
		synctest.Wait()
		ring.Load().hold <- nil
		group.Wait()
		replayed, none := 0, 0
		var value []byte
		for _, a := range answers {
			switch {
			case a.Bytes == nil:
				none++
			case value != nil && !bytes.Equal(a.Bytes, value):
				t.Error("two answers")
			default:
				value = a.Bytes
			}
			if a.Replayed {
				replayed++
			}
		}
		if none != 1 || replayed != callers-2 || ring.Load().count.Load() != 2 {
			t.Errorf("%d without an answer, %d replayed, %d signatures", none, replayed, ring.Load().count.Load())
		}
	})
}

func TestAnswersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ring, _ := replaying(t, RequestIDs{TTL: time.Minute, Entries: 3})
		ask := func(id string) bool {
			out, err := w.SignDigest(t.Context(), w.admin, SignDigestRequest{
				Key: "keys/EXMP01/ov", Digest: make([]byte, 32), DigestAlgorithm: "streebog256", RequestID: id,
			})
			if err != nil {
				t.Fatal(err)
			}
			return out.Replayed
		}
		for i := range 4 {
			ask(fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		if !ask("3") || !ask("1") || ask("0") {
			t.Error("not the oldest was forgotten")
		}
		time.Sleep(58 * time.Second)
		if !ask("3") || !ask("0") || ask("2") {
			t.Error("not as long as promised")
		}
		time.Sleep(10 * time.Minute)
		w.replays.mutex.Lock()
		if len(w.replays.callers) != 0 || w.replays.bytes != 0 || w.replays.sweeper != nil {
			t.Errorf("%d callers, %d octets left", len(w.replays.callers), w.replays.bytes)
		}
		w.replays.mutex.Unlock()
		_ = ring
	})
}

// The memory is bounded, for each caller and for all.
func TestReplayMemory(t *testing.T) {
	r := newReplays(RequestIDs{Bytes: 20_000, TotalBytes: 50_000}, time.Now)
	for i := range 4000 {
		caller := fmt.Sprint("caller", i%7)
		c, told, err := r.claim(t.Context(), caller, fmt.Sprint(i), requestSum{})
		if err != nil || told {
			t.Fatal(told, err)
		}
		c.recipe.middle = make([]byte, rand.IntN(3000))
		r.settle(caller, c, i%5 != 0)
		var sum int64
		for name, m := range r.callers {
			var own int64
			count := 0
			for c := m.oldest; c != nil; c = c.next {
				own += c.cost()
				count++
			}
			if own != m.bytes || own > 20_000 || count != m.answered || count != len(m.byID) {
				t.Fatalf("%s: %d octets, %d counted, %d answers", name, own, m.bytes, count)
			}
			sum += own
		}
		if sum != r.bytes || sum > 50_000 {
			t.Fatalf("%d octets, %d counted", sum, r.bytes)
		}
	}
	r.sweeper.Stop()
}

// Documents are not kept: a recipe is as large as what signing adds.
func TestRecipe(t *testing.T) {
	payload := make([]byte, 100_000)
	for i := range payload {
		payload[i] = byte(rand.Uint32())
	}
	signature := bytes.Repeat([]byte("s"), 2000)
	for name, answer := range map[string][]byte{
		"inserted":  bytes.Join([][]byte{payload[:5000], signature, payload[5000:]}, nil),
		"around":    bytes.Join([][]byte{signature, payload, signature}, nil),
		"before":    bytes.Join([][]byte{signature, payload}, nil),
		"after":     bytes.Join([][]byte{payload, signature}, nil),
		"same":      payload,
		"unrelated": signature,
		"nothing":   nil,
	} {
		r := recipeOf(payload, answer)
		if got := r.apply(payload); !bytes.Equal(got, answer) {
			t.Errorf("%s: %d octets, not %d", name, len(got), len(answer))
		}
		if n := len(r.head) + len(r.middle); n > 4000 {
			t.Errorf("%s: %d octets are kept", name, n)
		}
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add([]byte("<a>b</a>"), []byte("<a>b<s/></a>"))
	f.Add([]byte("aaaaaaaa"), []byte("aaaaaaaaaaaa"))
	f.Add([]byte(strings.Repeat("ab", 40)), []byte("x"+strings.Repeat("ab", 40)+"ab"))
	f.Fuzz(func(t *testing.T, payload, answer []byte) {
		r := recipeOf(payload, answer)
		if got := r.apply(payload); !bytes.Equal(got, answer) {
			t.Errorf("%q of %q becomes %q", answer, payload, got)
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	r := newReplays(RequestIDs{}, time.Now)
	document := bytes.Repeat([]byte("<p>0123456789</p>"), 600)
	answer := append(append(bytes.Clone(document[:len(document)-4]), make([]byte, 3000)...), document[len(document)-4:]...)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h := hashRequest(OpSignXML, "keys/EXMP01/ov", "smev3", "")
		h.payload(document)
		i++
		c, _, _ := r.claim(b.Context(), "caller", fmt.Sprint(i), h.sum())
		c.recipe = recipeOf(document, answer)
		r.settle("caller", c, true)
	}
	r.sweeper.Stop()
}

// Requests that differ in anything have other sums: in a field, in an octet of what is long, in where one field ends.
func TestRequestSums(t *testing.T) {
	seen := map[requestSum]string{}
	note := func(name string, sum requestSum) {
		if before, ok := seen[sum]; ok {
			t.Errorf("%s has the sum of %s", name, before)
		}
		seen[sum] = name
	}
	sum := func(fields []string, payloads ...[]byte) requestSum {
		h := hashRequest(OpSignXML, fields...)
		for _, p := range payloads {
			h.payload(p)
		}
		return h.sum()
	}
	for _, size := range []int{0, 1, 15, 16, 17, 255, 256, 257, 4096, 10240} {
		payload := make([]byte, size)
		name := fmt.Sprint(size, " octets")
		note(name, sum([]string{"key"}, payload))
		if sum([]string{"key"}, payload) != sum([]string{"key"}, bytes.Clone(payload)) {
			t.Errorf("%s: two sums of one request", name)
		}
		note(name+", another key", sum([]string{"kez"}, payload))
		note(name+", in two", sum([]string{"key"}, payload[:size/2], payload[size/2:]))
		for at := 0; at < size; at += 1 + size/50 {
			payload[at] ^= 0x80
			note(fmt.Sprint(name, ", octet ", at), sum([]string{"key"}, payload))
			payload[at] ^= 0x80
		}
	}
	if payloadMAC() == nil {
		t.Error("there is no GCM with fixed nonces here")
	}
}
