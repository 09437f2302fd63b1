package load

import "bytes"

// Message is a SendRequestRequest of SMEV 3 of about n octets, as gateways send them.
func Message(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:SendRequestRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<t:SenderProvidedRequestData Id="SIGNED_BY_CALLER"><t:MessageID>8c1c0a10-f1ee-11f0-8a5e-0242ac120002</t:MessageID>` +
		`<b:MessagePrimaryContent><q:Request xmlns:q="urn://example.ru/request/1.0">`)
	for i := 0; b.Len() < n-200; i++ {
		b.WriteString(`<q:Person kind="resident"><q:FamilyName>Иванов</q:FamilyName><q:FirstName>Иван</q:FirstName>` +
			`<q:BirthDate>1980-01-01</q:BirthDate><q:Snils>000-000-000 00</q:Snils></q:Person>`)
	}
	b.WriteString(`</q:Request></b:MessagePrimaryContent></t:SenderProvidedRequestData></t:SendRequestRequest></S:Body></S:Envelope>`)
	return b.Bytes()
}
