package testpki

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"time"

	"github.com/epov-signer/epov/gost"
)

// Authority is an entry of a list of accredited authorities. The zero Status is "Действует" since 2012.
type Authority struct {
	Name         string
	Status       string
	Since        time.Time
	History      [][2]string // status and date
	CRLs         []string
	Certificates []*gost.Certificate // of one key
}

// NewTSL writes an unsigned list of the shape that the Russian ministry publishes, as made up as its authorities.
func NewTSL(date time.Time, authorities ...Authority) []byte {
	var b bytes.Buffer
	text := func(s string) string {
		var out bytes.Buffer
		_ = xml.EscapeText(&out, []byte(s)) // a buffer takes everything
		return out.String()
	}
	address := "<Адрес><Страна>RU</Страна><Индекс>101000</Индекс><УлицаДом>ул. Примерная, д. 1</УлицаДом><Город>г. Москва</Город><Регион><Код>77</Код><Название>г. Москва</Название></Регион></Адрес>"
	b.WriteString("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<АккредитованныеУдостоверяющиеЦентры xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:noNamespaceSchemaLocation=\"tsl.xsd\">\n")
	fmt.Fprintf(&b, "  <Версия>1.0</Версия>\n  <Дата>%s</Дата>\n", date.UTC().Format(time.RFC3339))
	for i, a := range authorities {
		if a.Status == "" {
			a.Status = "Действует"
		}
		if a.Since.IsZero() {
			a.Since = time.Date(2012, 9, 10, 0, 0, 0, 0, time.UTC)
		}
		fmt.Fprintf(&b, "  <УдостоверяющийЦентр>\n    <Название>%s</Название>\n    <ЭлектроннаяПочта>ca@example.ru</ЭлектроннаяПочта>\n    <КраткоеНазвание>%[1]s</КраткоеНазвание>\n    <АдресСИнформациейПоУЦ>http://ca.example.ru</АдресСИнформациейПоУЦ>\n    %s\n", text(a.Name), address)
		fmt.Fprintf(&b, "    <ПрограммноАппаратныеКомплексы><ПрограммноАппаратныйКомплекс>\n      <Псевдоним>ПАК %d</Псевдоним><КлассСредствЭП>KC2</КлассСредствЭП>%s<СредстваУЦ>Средство УЦ</СредстваУЦ>\n      <КлючиУполномоченныхЛиц><Ключ>\n", i+1, address)
		if len(a.Certificates) > 0 {
			fmt.Fprintf(&b, "        <ИдентификаторКлюча>%X</ИдентификаторКлюча>\n", a.Certificates[0].SubjectKeyID)
		}
		b.WriteString("        <АдресаСписковОтзыва>")
		for _, crl := range a.CRLs {
			fmt.Fprintf(&b, "<Адрес>%s</Адрес>", text(crl))
		}
		b.WriteString("</АдресаСписковОтзыва>\n        <Сертификаты>\n")
		for _, c := range a.Certificates {
			fmt.Fprintf(&b, "          <ДанныеСертификата><Отпечаток>%X</Отпечаток><КемВыдан>%s</КемВыдан><КомуВыдан>%s</КомуВыдан><СерийныйНомер>%X</СерийныйНомер><ПериодДействияС>%s</ПериодДействияС><ПериодДействияДо>%s</ПериодДействияДо><Данные>%s</Данные></ДанныеСертификата>\n",
				sha1.Sum(c.Raw), text(c.Issuer.String()), text(c.Subject.String()), c.Serial,
				c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339), base64.StdEncoding.EncodeToString(c.Raw))
		}
		fmt.Fprintf(&b, "        </Сертификаты>\n      </Ключ></КлючиУполномоченныхЛиц>\n    </ПрограммноАппаратныйКомплекс></ПрограммноАппаратныеКомплексы>\n    <ИНН>00%010d</ИНН><ОГРН>1%012d</ОГРН><РеестровыйНомер>%d</РеестровыйНомер>\n", i, i, i+1)
		fmt.Fprintf(&b, "    <СтатусАккредитации><Статус>%s</Статус><ДействуетС>%s</ДействуетС></СтатусАккредитации>\n    <ИсторияСтатусовАккредитации>", text(a.Status), a.Since.Format("2006-01-02T15:04:05"))
		for _, h := range a.History {
			fmt.Fprintf(&b, "<СтатусАккредитации><Статус>%s</Статус><ДействуетС>%s</ДействуетС></СтатусАккредитации>", text(h[0]), h[1])
		}
		b.WriteString("</ИсторияСтатусовАккредитации>\n  </УдостоверяющийЦентр>\n")
	}
	b.WriteString("</АккредитованныеУдостоверяющиеЦентры>\n")
	return b.Bytes()
}
