package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust/lint"
)

type certLintCmd struct {
	JSON bool   `name:"json" help:"Write JSON."`
	File string `arg:"" help:"Certificates, PEM, DER or PKCS#7; - is standard input."`
}

type lintFinding struct {
	Subject  string `json:"subject"`
	Code     string `json:"code"`
	Severity string `json:"severity"`
	Clause   string `json:"clause"`
	Message  string `json:"message"`
	Got      string `json:"got,omitempty"`
}

// Run ends with success when the form is met: warnings and notes do not count.
func (c *certLintCmd) Run(con *console) error {
	certs, err := readAny(con, c.File)
	if err != nil {
		return err
	}
	found, errs := []lintFinding{}, 0
	for _, cert := range certs {
		for _, f := range lint.Check(cert) {
			found = append(found, lintFinding{cert.Subject.String(), f.Code, f.Severity.String(), f.Clause, f.Message, f.Got})
			if f.Severity == lint.Error {
				errs++
			}
		}
	}
	if c.JSON {
		err = writeJSON(con, found)
	} else {
		err = writeLint(con.out, certs, found)
	}
	if err == nil && errs > 0 {
		err = errVerdict
	}
	return err
}

func writeLint(w io.Writer, certs []*gost.Certificate, found []lintFinding) error {
	var b strings.Builder
	for _, cert := range certs {
		subject, n := cert.Subject.String(), 0
		fmt.Fprintf(&b, "%s\n", printable(subject))
		for _, f := range found {
			if f.Subject != subject {
				continue
			}
			n++
			got := ""
			if f.Got != "" {
				got = ": " + f.Got
			}
			fmt.Fprintf(&b, "  %-8s %s: %s\n           %s\n", strings.ToUpper(f.Severity), f.Code, printable(f.Message+got), f.Clause)
		}
		if n == 0 {
			b.WriteString("  in the form of a qualified certificate\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
