package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/epov-signer/epov/signer/report"
)

// printable makes a string from elsewhere (a certificate, a message, a daemon) safe for a terminal.
func printable(s string) string { return report.Printable(s) }

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// table aligns columns.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c = printable(c); c == "" {
			c = "-"
		}
		cells[i] = c
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t")) // errors come out at flush
}

func (t *table) flush() error { return t.w.Flush() }
