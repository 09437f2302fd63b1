package signer

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/epov-signer/epov/signer/report"
)

// lateContext is over after it was asked some times: the time runs out between two stages.
type lateContext struct {
	context.Context
	left int
}

func (c *lateContext) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Verification ends between its stages when the caller's time does.
func TestVerificationObservesTheDeadline(t *testing.T) {
	w := newWorld(t)
	xml, err := w.SignXML(t.Context(), w.admin, SignXMLRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: unsigned()})
	if err != nil {
		t.Fatal(err)
	}
	cms, err := w.SignCMS(t.Context(), w.admin,
		SignCMSRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-attached", Content: unsigned(), Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for name, verify := range map[string]func(context.Context) error{
		"XML": func(ctx context.Context) error {
			_, err := w.VerifyXML(ctx, w.admin, VerifyXMLRequest{Document: xml.Bytes})
			return err
		},
		"CMS": func(ctx context.Context) error {
			_, err := w.VerifyCMS(ctx, w.admin, VerifyCMSRequest{Message: cms.Bytes})
			return err
		},
		"CMS stream": func(ctx context.Context) error {
			_, err := w.VerifyCMSStream(ctx, w.admin, VerifyCMSStreamRequest{}, bytes.NewReader(cms.Bytes))
			return err
		},
	} {
		stages := 0
		for ; ; stages++ {
			err := verify(&lateContext{t.Context(), stages})
			if err == nil {
				break
			}
			if code(err) != string(report.Deadline) || stages > 20 {
				t.Fatalf("%s, stage %d: %v", name, stages, err)
			}
		}
		if stages < 2 {
			t.Errorf("%s looks at the clock %d times", name, stages)
		}
	}
}
