package canon_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"

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

// The references of a signature, digested in one scan of the message.
func ExampleApplyAll() {
	doc := []byte(`<m:Message xmlns:m="urn:m"><m:Data Id="d">text</m:Data><m:Key Id="k"/></m:Message>`)
	chain := []canon.Transform{{URI: canon.ExclusiveURI}}
	data, whole := sha256.New(), sha256.New()
	for _, err := range canon.ApplyAll(doc, []canon.Job{
		{Node: canon.Node{Element: bytes.Index(doc, []byte("<m:Data"))}, Chain: chain, W: data},
		{Node: canon.Node{Whole: true}, Chain: chain, W: whole},
	}, xmltext.Limits{}) {
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%x\n%x\n", data.Sum(nil)[:8], whole.Sum(nil)[:8])
	// Output:
	// 86d328eb1eb01a72
	// 36e41d9faddd6855
}

// A document that is not held in memory.
func ExampleApplyReader() {
	doc := io.MultiReader(strings.NewReader("<m:Content xmlns:m='urn:m'\n>"), strings.NewReader("MIICyTCC</m:Content>"))
	chain := []canon.Transform{{URI: canon.ExclusiveURI}, {URI: canon.SMEVURI}}
	if err := canon.ApplyReader(os.Stdout, doc, canon.Node{Whole: true}, chain, xmltext.Limits{}); err != nil {
		fmt.Println(err)
	}
	// Output: <ns1:Content xmlns:ns1="urn:m">MIICyTCC</ns1:Content>
}
