package signer

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer/explain"
	"github.com/epov-signer/epov/signer/report"
)

func TestExplain(t *testing.T) {
	w := newWorld(t, party{name: "idle", san: "idle.example.ru"})
	signed, err := w.SignXML(t.Context(), w.admin,
		SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: []byte("<a><b>1</b></a>")})
	if err != nil {
		t.Fatal(err)
	}
	indented := bytes.Replace(signed.Bytes, []byte("<b>"), []byte("\n  <b>"), 1)
	e, err := w.Explain(t.Context(), w.admin, ExplainRequest{Document: indented})
	if err != nil || len(e.Findings) != 1 || e.Findings[0].Mistakes[0] != explain.ContentIndented || e.Report.Verdict() != report.Invalid {
		t.Fatalf("%+v, %v", e, err)
	}
	for name, tc := range map[string]struct {
		caller *Caller
		req    ExplainRequest
		want   report.Code
	}{
		"no right":  {w.caller(t, "idle.example.ru"), ExplainRequest{Document: indented}, report.AccessDenied},
		"nothing":   {w.admin, ExplainRequest{}, report.RequestInvalid},
		"both":      {w.admin, ExplainRequest{Document: indented, Message: indented}, report.RequestInvalid},
		"too large": {w.admin, ExplainRequest{Document: indented, Pristine: make([]byte, 1<<20+1)}, report.XMLLimit},
		"profile":   {w.admin, ExplainRequest{Document: indented, Profile: "smev4"}, report.RequestInvalid},
		"not XML":   {w.admin, ExplainRequest{Document: []byte("<")}, report.XMLSyntax},
	} {
		if _, err := w.Explain(t.Context(), tc.caller, tc.req); code(err) != string(tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(w.log.String(), "<b>") {
		t.Error("the log has content")
	}
}

// Searches wait for their turn, and only as long as their callers do.
func TestExplainWaits(t *testing.T) {
	w := newWorld(t)
	for range cap(w.explaining) {
		w.explaining <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := w.Explain(ctx, w.admin, ExplainRequest{Document: []byte("<a/>")}); code(err) != string(report.Deadline) {
		t.Error(err)
	}
	<-w.explaining
	if _, err := w.Explain(t.Context(), w.admin, ExplainRequest{Document: []byte("<a/>")}); err != nil {
		t.Error(err)
	}
}
