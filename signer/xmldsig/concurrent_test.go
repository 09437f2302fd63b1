package xmldsig

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// TestManyAtOnce signs and verifies many documents at once, each of them different, whole and broken ones side by side, and holds
// every answer against that of a document alone, made without what is foreseen. What one call leaves in a buffer that another
// takes over would show.
func TestManyAtOnce(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	keys := gost.NewKeyCache(4)
	at := time.Now().Truncate(time.Second)
	type work struct {
		profile  *Profile
		in       Input
		signed   []byte
		digest   []byte
		contents [][]byte
		doc      []byte
		refused  string
		report   *report.Report
		traced   map[string]string
	}
	examine := func(doc []byte, f foresight) (*report.Report, map[string]string, error) {
		octets := map[string]string{}
		r, err := verify(doc, Policy{Time: at, Trust: p.store, Keys: keys,
			Trace: func(name string, o []byte) { octets[name] = string(o) }}, f)
		return r, octets, err
	}
	var all []*work
	for n := range 8 {
		for _, m := range messagesToSign() {
			if m.name == "outside" {
				continue
			}
			// Of another length each, so that buffers that come again hold the rest of something else.
			doc := strings.ReplaceAll(m.doc, "text", "text"+strings.Repeat(fmt.Sprint(n), n*n*40))
			doc = strings.ReplaceAll(doc, "8c1c", fmt.Sprintf("8c1c%d", n)+strings.Repeat("x", n*n*60))
			w := &work{profile: m.profile, in: Input{Document: []byte(doc), Certificate: p.cert, Target: m.target, Time: at, Keys: keys}}
			prepared, err := w.profile.prepare(w.in, nil)
			if err != nil {
				t.Fatal(m.name, err)
			}
			w.doc, w.digest, w.contents = bytes.Clone(prepared.doc), prepared.Digest(), prepared.Contents()
			w.signed = p.sign(t, w.profile, w.in)
			all = append(all, w)
			switch n % 4 { // some do not stay as they were signed
			case 1:
				w.signed = bytes.Replace(w.signed, []byte("text"), []byte("tEXt"), 1)
			case 2:
				broken := *w
				broken.in.Document = w.in.Document[:len(w.in.Document)*n/8]
				_, err := w.profile.prepare(broken.in, nil)
				broken.refused = fmt.Sprint(err)
				broken.signed = w.signed[:len(w.signed)*n/10]
				all = append(all, &broken)
			}
		}
	}
	for _, w := range all {
		w.report, w.traced, _ = examine(w.signed, nil)
	}
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for i := range all {
				w := all[(i*7+worker*31)%len(all)]
				prepared, err := w.profile.Prepare(w.in)
				switch {
				case w.refused != "":
					if fmt.Sprint(err) != w.refused {
						t.Errorf("%s: %v, want %s", w.profile.Name, err, w.refused)
					}
				case err != nil:
					t.Errorf("%s: %v", w.profile.Name, err)
				default:
					if !bytes.Equal(prepared.doc, w.doc) || !bytes.Equal(prepared.Digest(), w.digest) ||
						!reflect.DeepEqual(prepared.Contents(), w.contents) {
						t.Errorf("%s: prepared\n%s\nalone\n%s", w.profile.Name, prepared.doc, w.doc)
					}
				}
				r, traced, err := examine(w.signed, verifying)
				if (err == nil) != (w.report != nil) || !reflect.DeepEqual(r, w.report) ||
					err == nil && !reflect.DeepEqual(traced, w.traced) {
					t.Errorf("%s: %v %+v\nalone\n%+v\n%s", w.profile.Name, err, r, w.report, w.signed)
				}
				if err != nil || prepared == nil || worker > 0 || i%8 > 0 {
					continue
				}
				value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
				if err != nil {
					t.Error(err)
					continue
				}
				signed, err := prepared.Complete(value)
				if err != nil {
					t.Error(err)
					continue
				}
				r, err = Verify(signed, Policy{Time: at, Trust: p.store, Keys: keys})
				if err != nil || slices.ContainsFunc(r.Signatures, func(s report.Signature) bool { return s.Integrity() != report.Valid }) {
					t.Errorf("%s: what was signed does not verify: %v %v", w.profile.Name, err, r)
				}
			}
		})
	}
	wait.Wait()
	t.Logf("%d documents, each by 8 at once", len(all))
}
