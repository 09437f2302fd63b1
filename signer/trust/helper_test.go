package trust_test

import (
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// apart takes a judgement apart.
func apart(j trust.Judgement) ([]*gost.Certificate, []report.Check) { return j.Path, j.Checks }
