package load

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
)

// Message makes a message of SMEV 3 of about n octets, to be signed by its caller, as they are sent: indented, with namespaces,
// names and text in Cyrillic, references, and, in larger ones, an attachment in base64 that is two fifths of it.
func Message(n int) []byte {
	random := rand.New(rand.NewPCG(7, 7))
	pick := func(s ...string) string { return s[random.IntN(len(s))] }
	attached := 0
	if n > 10<<10 {
		attached = n * 2 / 5
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:unused="urn:unused">
  <soap:Header/>
  <soap:Body>
    <typ:SendRequestRequest xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.1" xmlns:basic="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.1">
      <typ:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER">
        <typ:MessageID>c9e5cd10-6ab3-11e4-9cda-00505601112a</typ:MessageID>
        <basic:MessagePrimaryContent>
          <ns1:Запрос xmlns:ns1="urn://x-artefacts-example-ru/request/1.0.2" xmlns:ns2="urn://x-artefacts-example-ru/types/1.0.2">`)
	for i := 0; b.Len() < n-attached-300; i++ {
		fmt.Fprintf(&b, `
            <ns1:Гражданин ns1:id="r%d" kind="физлицо" xsi:type="ns2:PersonType" >
              <ns2:FamilyName>%s</ns2:FamilyName><ns2:FirstName>%s</ns2:FirstName>
              <ns2:SNILS>%03d-%03d-%03d %02d</ns2:SNILS>
              <ns2:BirthDate>19%d-0%d-1%d</ns2:BirthDate>
              <ns3:Address xmlns:ns3="urn://x-artefacts-fias-gov-ru/1.0.%d" ns3:okato='%d' code="%d">г. Москва, ул. Тверская, д. %d &amp; корп. %d, кв. &lt;%d&gt;</ns3:Address>
              <ns2:Empty/>
            </ns1:Гражданин>`, i, pick("Иванов", "Петрова", "Сидоренко", "Кузнецова"), pick("Александр", "Елена", "Дмитрий"),
			random.IntN(1000), random.IntN(1000), random.IntN(1000), random.IntN(100), 50+random.IntN(50), 1+random.IntN(9),
			random.IntN(10), i%3, 10000000+random.IntN(90000000), random.IntN(100), random.IntN(100), 1+random.IntN(9), random.IntN(300))
	}
	b.WriteString("\n          </ns1:Запрос>\n        </basic:MessagePrimaryContent>\n        ")
	if attached > 0 {
		b.WriteString("<basic:AttachmentContentList><basic:AttachmentContent><basic:Id>a1</basic:Id><basic:Content>")
		line := make([]byte, 57)
		for size := 0; size < attached; size += 77 {
			for i := range line {
				line[i] = byte(random.Uint32())
			}
			b.WriteString(base64.StdEncoding.EncodeToString(line) + "\n")
		}
		b.WriteString("</basic:Content></basic:AttachmentContent></basic:AttachmentContentList>\n        ")
	}
	b.WriteString(`<typ:TestMessage/>
      </typ:SenderProvidedRequestData>
    </typ:SendRequestRequest>
  </soap:Body>
</soap:Envelope>
`)
	return b.Bytes()
}
