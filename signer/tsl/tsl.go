// Package tsl reads the Russian list of accredited certification authorities, the TSL that the ministry publishes: which
// authorities there are, when they were accredited, their certificates and where their CRLs are.
//
// It is not the TSL of ETSI: it has a schema of its own, without a namespace and with Cyrillic names, and is signed as one
// enveloped XML signature. The list itself is what trust starts from, so its signer must be pinned; see [Verify].
package tsl

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/trust"
)

// Limits of a list. The published one has some 12 MB and 500 authorities.
const (
	MaxSize        = 128 << 20 // octets
	maxAuthorities = 10_000
	maxKeys        = 1_000   // of one authority
	maxText        = 1 << 20 // octets of one value
)

// List is a parsed list.
type List struct {
	Version     string
	Date        time.Time // of publication; zero when absent
	Authorities []Authority
}

// Authority is a certification authority (УдостоверяющийЦентр).
type Authority struct {
	Name, ShortName string
	INN, OGRN       string
	Number          string   // in the register (РеестровыйНомер)
	Status          Status   // now
	History         []Status // in the order of the list
	Keys            []Key
}

// Status is what the accreditation was from a moment on.
type Status struct {
	Text  string    // "Действует", and other words for what is not accredited
	Since time.Time // zero when absent
}

// Accredited reports whether the word says so; any other word does not.
func (s Status) Accredited() bool { return strings.EqualFold(s.Text, "Действует") }

// Key is a key of an authority (Ключ), with the certificates that were issued for it.
type Key struct {
	ID           string // as written, hexadecimal
	Complex      string // the alias of the installation that has it (ПрограммноАппаратныйКомплекс)
	Class        string // of its means of signing, "KC2"
	CRLs         []string
	Certificates []*gost.Certificate
	Unreadable   int // certificates that are not X.509 in DER
}

// element names, by what they open
const (
	rootName      = "АккредитованныеУдостоверяющиеЦентры"
	authorityName = "УдостоверяющийЦентр"
	complexName   = "ПрограммноАппаратныйКомплекс"
	keyName       = "Ключ"
)

// Parse reads a list in one pass, with memory for what it keeps only. The signature is not looked at; see Verify. Elements
// that are not known are passed over, since the schema grows, and those with a namespace with all that is in them.
func Parse(doc []byte) (*List, error) {
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("tsl: %d octets exceed the limit of %d", len(doc), MaxSize)
	}
	p := &parser{tokens: xmltext.NewTokenizer(doc, xmltext.Limits{Depth: 64})}
	for {
		kind, err := p.tokens.Next()
		if err != nil {
			return nil, fmt.Errorf("tsl: %w", err)
		}
		switch kind {
		case xmltext.EOF:
			if len(p.list.Authorities) == 0 {
				return nil, fmt.Errorf("tsl: the list names no authority")
			}
			return &p.list, nil
		case xmltext.StartElement:
			err = p.start()
		case xmltext.EndElement:
			err = p.end()
		case xmltext.Text:
			if p.beyond > 0 {
				continue
			}
			if len(p.path) > 0 && len(p.text)+len(p.tokens.Text()) > maxText {
				err = fmt.Errorf("the value of %s has more than %d octets", p.path[len(p.path)-1], maxText)
			}
			p.text = append(p.text, p.tokens.Text()...)
		}
		if err != nil {
			return nil, fmt.Errorf("tsl: line %d: %w", 1+bytes.Count(doc[:p.tokens.Span().Start], []byte("\n")), err)
		}
	}
}

type parser struct {
	tokens *xmltext.Tokenizer
	list   List
	path   []string // local names of the open elements
	beyond int      // open elements from one with a namespace on: no part of the list
	text   []byte   // of the innermost element so far

	complex, class string // of the installation at hand
	status         Status
}

// at reports whether the open elements end with names.
func (p *parser) at(names ...string) bool {
	n := len(p.path) - len(names)
	return n >= 0 && slices.Equal(p.path[n:], names)
}

func (p *parser) start() error {
	name := p.tokens.Name()
	// The enveloped signature may stand anywhere in the list, within a value too, and does not cover itself: nothing is read
	// from within it, and around it the list reads as if it were not there.
	if p.beyond > 0 || len(name.Space) > 0 && len(p.path) > 0 {
		p.beyond++
		return nil
	}
	local := string(name.Local)
	p.path, p.text = append(p.path, local), p.text[:0]
	switch {
	case len(p.path) == 1 && (local != rootName || len(name.Space) > 0):
		return fmt.Errorf("the root is no list of accredited authorities but %.64q", name.Local)
	case len(p.path) == 2 && local == authorityName:
		if len(p.list.Authorities) == maxAuthorities {
			return fmt.Errorf("more than %d authorities", maxAuthorities)
		}
		p.list.Authorities = append(p.list.Authorities, Authority{})
	case local == complexName:
		p.complex, p.class = "", ""
	case local == keyName && p.authority() != nil:
		if len(p.authority().Keys) == maxKeys {
			return fmt.Errorf("more than %d keys of one authority", maxKeys)
		}
		p.authority().Keys = append(p.authority().Keys, Key{Complex: p.complex, Class: p.class})
	case local == "СтатусАккредитации":
		p.status = Status{}
	}
	return nil
}

// authority is the one at hand; nil outside.
func (p *parser) authority() *Authority {
	if len(p.path) < 2 || p.path[1] != authorityName {
		return nil
	}
	return &p.list.Authorities[len(p.list.Authorities)-1]
}

// key is the one at hand; nil outside.
func (p *parser) key() *Key {
	a := p.authority()
	if a == nil || len(a.Keys) == 0 || !slices.Contains(p.path, keyName) {
		return nil
	}
	return &a.Keys[len(a.Keys)-1]
}

// end takes the value of the element that ends.
func (p *parser) end() error {
	if p.beyond > 0 {
		p.beyond--
		return nil
	}
	value := strings.TrimSpace(string(p.text))
	var err error
	if a, k := p.authority(), p.key(); k != nil {
		p.keyValue(k, value)
	} else if a != nil {
		err = p.authorityValue(a, value)
	} else {
		switch {
		case p.at(rootName, "Версия"):
			p.list.Version = value
		case p.at(rootName, "Дата"):
			p.list.Date, err = parseDate(value)
		}
	}
	p.path, p.text = p.path[:len(p.path)-1], p.text[:0]
	return err
}

func (p *parser) authorityValue(a *Authority, value string) (err error) {
	switch {
	case p.at(authorityName, "Название"):
		a.Name = value
	case p.at(authorityName, "КраткоеНазвание"):
		a.ShortName = value
	case p.at(authorityName, "ИНН"):
		a.INN = value
	case p.at(authorityName, "ОГРН"):
		a.OGRN = value
	case p.at(authorityName, "РеестровыйНомер"):
		a.Number = value
	case p.at("СтатусАккредитации", "Статус"):
		p.status.Text = value
	case p.at("СтатусАккредитации", "ДействуетС"):
		p.status.Since, err = parseDate(value)
	case p.at(authorityName, "СтатусАккредитации"):
		a.Status = p.status
	case p.at("ИсторияСтатусовАккредитации", "СтатусАккредитации"):
		a.History = append(a.History, p.status)
	case p.at(complexName, "Псевдоним"):
		p.complex = value
	case p.at(complexName, "КлассСредствЭП"):
		p.class = value
	}
	return err
}

func (p *parser) keyValue(k *Key, value string) {
	switch {
	case p.at(keyName, "ИдентификаторКлюча"):
		k.ID = value
	case p.at("АдресаСписковОтзыва", "Адрес"):
		k.CRLs = append(k.CRLs, value)
	case p.at("ДанныеСертификата", "Данные"):
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
		var c *gost.Certificate
		if err == nil {
			c, err = gost.ParseCertificate(der)
		}
		if err != nil {
			k.Unreadable++
		} else if !slices.ContainsFunc(k.Certificates, func(o *gost.Certificate) bool { return bytes.Equal(o.Raw, c.Raw) }) {
			k.Certificates = append(k.Certificates, c)
		}
	}
}

// moscow is the zone of times that name none: the ministry's.
var moscow = time.FixedZone("MSK", 3*60*60)

func parseDate(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, moscow); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no date", s)
}

// Accredited says when the authority was accredited, by its history and its status now.
func (a *Authority) Accredited() []trust.Period {
	all := slices.Clone(a.History)
	if now := a.Status; now.Text != "" && !slices.Contains(all, now) {
		if n := len(all); now.Since.IsZero() && n > 0 {
			// Undated, it holds since the last change, unless that says otherwise: then it tells nothing of the past.
			if now.Text == all[n-1].Text {
				now = all[n-1]
			} else if !now.Accredited() {
				return nil
			}
		}
		all = append(all, now)
	}
	slices.SortStableFunc(all, func(x, y Status) int { return x.Since.Compare(y.Since) })
	var out []trust.Period
	for i, s := range all {
		if !s.Accredited() {
			continue
		}
		p := trust.Period{From: s.Since}
		if i+1 < len(all) {
			p.To = all[i+1].Since.Add(-time.Second)
		}
		if n := len(out); n > 0 && !out[n-1].To.IsZero() && out[n-1].To.Add(time.Second).Equal(p.From) {
			out[n-1].To = p.To
		} else {
			out = append(out, p)
		}
	}
	return out
}

// Certificates is the list as a trust.Store takes it: self-signed certificates are anchors, the others are intermediates,
// and each vouches for others only while its authority was accredited.
func (l *List) Certificates() trust.Certificates {
	out := trust.Certificates{Accredited: map[string][]trust.Period{}}
	for i := range l.Authorities {
		a := &l.Authorities[i]
		periods := a.Accredited()
		for _, k := range a.Keys {
			for _, c := range k.Certificates {
				if c.SelfIssued() {
					out.Anchors = append(out.Anchors, c)
				} else {
					out.Intermediates = append(out.Intermediates, c)
				}
				out.Accredited[string(c.Raw)] = append(out.Accredited[string(c.Raw)], periods...)
			}
		}
	}
	return out
}
