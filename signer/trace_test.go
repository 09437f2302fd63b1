package signer

import (
	"context"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// The trace hears of each request once, with its moments in order and nothing about steps that were not come to.
func TestTrace(t *testing.T) {
	w := newWorld(t)
	var heard []Signing
	w.trace = Trace{Signed: func(_ context.Context, s Signing) { heard = append(heard, s) }}
	type demand struct {
		request SignXMLRequest
		fail    error
		code    report.Code
		come    int // to how many of Prepared, Signed and Completed
	}
	const version = "keys/EXMP01/ov/versions/2"
	away := report.Errorf(report.TokenAway, report.Place{}, "gone")
	key, _ := w.ring.Key(version)
	for name, d := range map[string]demand{
		"signed":      {SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: []byte("<a/>")}, nil, "", 3},
		"unknown key": {SignXMLRequest{Key: "keys/EXMP01/none", Profile: "enveloped"}, nil, report.KeyUnknown, 0},
		"malformed":   {SignXMLRequest{Key: version, Profile: "enveloped", Document: []byte("<a>")}, nil, report.XMLSyntax, 0},
		"away":        {SignXMLRequest{Key: version, Profile: "enveloped", Document: []byte("<a/>")}, away, report.TokenAway, 2},
	} {
		heard = nil
		key.(*softKey).fail, key.(*softKey).took = d.fail, Timings{Token: "main", Sign: 7}
		_, err := w.SignXML(t.Context(), w.admin, d.request)
		if len(heard) != 1 {
			t.Fatalf("%s: heard %v, error %v", name, heard, err)
		}
		s := heard[0]
		if s.Caller != "admin" || s.Operation != OpSignXML || s.Profile != "enveloped" || s.Code != d.code {
			t.Errorf("%s: %+v", name, s)
		}
		if d.come > 0 && (s.Key != version || s.Timings.Sign != 7) {
			t.Errorf("%s: %+v", name, s)
		}
		last := s.Begun
		for i, at := range []time.Time{s.Prepared, s.Signed, s.Completed} {
			if at.IsZero() == (i < d.come) || i < d.come && at.Before(last) {
				t.Errorf("%s: moment %d is %v after %v", name, i, at, last)
			}
			if i < d.come {
				last = at
			}
		}
		if s.Ended.Before(last) {
			t.Errorf("%s: ended %v before %v", name, s.Ended, last)
		}
	}
}
