package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

// canonComparisons compares with libxml2: parsing and canonicalizing together.
func canonComparisons() ([]comparison, error) {
	var list []comparison
	for _, size := range []struct {
		name   string
		octets int
	}{{"2k", 2 << 10}, {"20k", 20 << 10}, {"1m", 1 << 20}} {
		doc := smevLike(size.octets)
		chain := []canon.Transform{{URI: canon.ExclusiveURI}}
		list = append(list, comparison{"canon/libxml2-" + size.name, func() {
			must(canon.Apply(io.Discard, doc, canon.Node{Whole: true}, chain, xmltext.Limits{}))
		}, "c14n", doc})
	}
	return list, nil
}

// smevLike makes a message of about n octets as SMEV carries them: namespaces, Cyrillic text, attributes, base64.
func smevLike(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:SendRequestRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2"><b:MessagePrimaryContent>` +
		`<q:List xmlns:q="urn://example.ru/list/1.0">`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `<q:Person number="%d" kind="ФЛ"><q:Name>Иванов &amp; Петров</q:Name>`+
			`<x:Extra xmlns:x="urn://example.ru/extra">MIICyTCCAnSgAwIBAgICEAMwCgYIKoUDBwEBAwIwRzELMAkGA1UE</x:Extra></q:Person>`+"\n", i)
	}
	b.WriteString(`</q:List></b:MessagePrimaryContent></t:SendRequestRequest></S:Body></S:Envelope>`)
	return b.Bytes()
}
