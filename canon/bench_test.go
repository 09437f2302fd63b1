package canon

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
)

// message makes a document shaped like a SMEV 3 request, of about size octets.
func message(size int) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">
  <soap:Body>
    <ns:SendRequestRequest xmlns:ns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.1"` +
		` xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.1">
      <ns:SenderProvidedRequestData Id="SIGNED_BY_CALLER">
        <ns:MessageID>db0486d0-3c08-11e5-95e2-d4c9eff07b77</ns:MessageID>
        <b:MessagePrimaryContent>
          <e:Request xmlns:e="urn://x-artefacts-example/request/1.0.0" xmlns:c="urn://x-artefacts-example/commons/1.0.0"` +
		` kind="полный" code="17">`)
	for i := 0; b.Len() < size-300; i++ {
		fmt.Fprintf(&b, `
            <e:Person number="%d"><c:FamilyName>Иванов</c:FamilyName><c:FirstName>Пётр &amp; сын</c:FirstName>`+
			`<c:Document type="21" issued='2011-04-01'>4509 123456</c:Document></e:Person>`, i)
	}
	b.WriteString(`
          </e:Request>
        </b:MessagePrimaryContent>
        <ns:TestMessage/>
      </ns:SenderProvidedRequestData>
    </ns:SendRequestRequest>
  </soap:Body>
</soap:Envelope>
`)
	return []byte(b.String())
}

func BenchmarkApply(b *testing.B) {
	for _, size := range []struct {
		name   string
		octets int
	}{{"10k", 10 << 10}, {"1m", 1 << 20}} {
		doc := message(size.octets)
		node := Node{Element: strings.Index(string(doc), "<ns:SenderProvidedRequestData")}
		for _, c := range []struct {
			name  string
			chain []Transform
		}{
			{"exclusive", []Transform{{URI: ExclusiveURI}}},
			{"inclusive", []Transform{{URI: InclusiveURI}}},
			{"exclusive+smev", smevChain},
		} {
			b.Run(c.name+"/"+size.name, func(b *testing.B) {
				b.SetBytes(int64(len(doc)))
				b.ReportAllocs()
				for b.Loop() {
					if err := Apply(io.Discard, doc, node, c.chain, xmltext.Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
