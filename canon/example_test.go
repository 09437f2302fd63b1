package canon_test

import (
	"bytes"
	"fmt"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

func ExampleApply() {
	doc := []byte(`<m:Message xmlns:m="urn:m" xmlns:unused="urn:u"><m:Data Id="d" a='1'>text<m:Empty/></m:Data></m:Message>`)
	data := canon.Node{Element: bytes.Index(doc, []byte("<m:Data"))}
	for _, chain := range [][]canon.Transform{
		{{URI: canon.InclusiveURI}},
		{{URI: canon.ExclusiveURI}},
		{{URI: canon.ExclusiveURI}, {URI: canon.SMEVURI}},
	} {
		var out bytes.Buffer
		if err := canon.Apply(&out, doc, data, chain, xmltext.Limits{}); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(out.String())
	}
	// Output:
	// <m:Data xmlns:m="urn:m" xmlns:unused="urn:u" Id="d" a="1">text<m:Empty></m:Empty></m:Data>
	// <m:Data xmlns:m="urn:m" Id="d" a="1">text<m:Empty></m:Empty></m:Data>
	// <ns1:Data xmlns:ns1="urn:m" Id="d" a="1">text<ns1:Empty></ns1:Empty></ns1:Data>
}
