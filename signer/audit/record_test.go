package audit

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// full has a value in every field.
func full() Record {
	original := uint64(41)
	return Record{
		Time: time.Date(2026, 11, 22, 9, 8, 7, 654321000, time.UTC), Kind: Signature, Caller: "gateway", Role: "smev",
		Operation: "sign-xml", Key: "keys/EXMP01/ov/versions/2", Certificate: strings.Repeat("ab", 32), Profile: "smev3",
		Digests: []Digest{{Of: "signed", Algorithm: "streebog256", Value: "00ff"},
			{Of: "content", Algorithm: "streebog512", Value: "11"}},
		Signature: strings.Repeat("cd", 32), Request: "order-17/\"ы\"\n", Token: "rutoken-1",
		Queue: 17 * time.Microsecond, Sign: 12 * time.Millisecond, Verify: 90 * time.Microsecond, Total: 13 * time.Millisecond,
		Retried: true, Outcome: Done, Incident: "ABC", Original: &original, Dropped: 3, Subject: "keys/EXMP01/ov",
	}
}

func TestCanonicalForm(t *testing.T) {
	r := Record{
		Time: time.Date(2026, 11, 22, 12, 8, 7, 1999, time.FixedZone("MSK", 3*3600)), Kind: Refusal, Caller: "a\tb\x01\"\\\u007fя\xff",
		Operation: "sign-cms", Outcome: "access.denied", Total: 999 * time.Nanosecond,
	}
	const want = `{"v":1,"time":"2026-11-22T09:08:07.000001Z","kind":"refusal","caller":"a\tb\u0001\"\\` + "\u007fя\ufffd" +
		`","operation":"sign-cms","outcome":"access.denied"}`
	if got := string(r.Append(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEveryFieldTravels fails when a field is added to Record and forgotten in its form.
func TestEveryFieldTravels(t *testing.T) {
	r := full()
	v := reflect.ValueOf(r)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s empty", v.Type().Field(i).Name)
		}
	}
	got, err := Parse(r.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, r) {
		t.Errorf("got  %+v\nwant %+v", *got, r)
	}
	if !json.Valid(r.Append(nil)) {
		t.Error("not JSON")
	}
}

func TestParseRefuses(t *testing.T) {
	whole := full()
	good := string(whole.Append(nil))
	for name, data := range map[string]string{
		"nothing":         "",
		"no JSON":         good[1:],
		"another version": strings.Replace(good, `"v":1`, `"v":2`, 1),
		"no version":      strings.Replace(good, `"v":1,`, ``, 1),
		"unknown member":  strings.Replace(good, `"kind"`, `"sort":"x","kind"`, 1),
		"unknown kind":    strings.Replace(good, `"signature"`, `"other"`, 1),
		"another order": strings.Replace(good, `{"v":1,"time":"2026-11-22T09:08:07.654321Z"`,
			`{"time":"2026-11-22T09:08:07.654321Z","v":1`, 1),
		"white space":      good + "\n",
		"two of them":      good + good,
		"repeated member":  strings.Replace(good, `"kind"`, `"caller":"x","kind"`, 1),
		"an empty member":  strings.Replace(good, `"role":"smev"`, `"role":""`, 1),
		"another escape":   strings.Replace(good, `gateway`, `\u0067ateway`, 1),
		"a local time":     strings.Replace(good, `654321Z`, `654321+03:00`, 1),
		"a huge duration":  strings.Replace(good, `"queue_us":17`, `"queue_us":9223372036854775807`, 1),
		"a minus duration": strings.Replace(good, `"queue_us":17`, `"queue_us":-17`, 1),
		"a huge record":    strings.Replace(good, `gateway`, strings.Repeat("g", MaxRecordBytes), 1),
	} {
		if data == good {
			t.Errorf("%s: the case changes nothing", name)
		}
		if _, err := Parse([]byte(data)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	whole := full()
	f.Add(whole.Append(nil))
	f.Add((&Record{Kind: Administrative, Operation: "reload"}).Append(nil))
	f.Add([]byte(`{"v":1,"time":"2026-11-22T09:08:07.654321Z","kind":"replay","original":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Append(nil), data) {
			t.Fatalf("%q was read but is written as %q", data, r.Append(nil))
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	r := full()
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = r.Append(buf[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	r := full()
	buf := make([]byte, 0, 4096)
	for b.Loop() {
		buf = r.Append(buf[:0])
	}
}
