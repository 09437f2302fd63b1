package canon

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x65706f76)) }

// generator writes documents that exercise canonicalization: namespaces redeclared, unused, undeclared and bound twice,
// xml: attributes, comments, processing instructions, CDATA, references, every kind of line end and white space.
type generator struct {
	*rand.Rand
	strings.Builder
	plain bool // only what the SMEV transform takes
}

func generate(seed uint64, plain bool) string {
	g := &generator{Rand: newRandom(seed), plain: plain}
	if g.IntN(3) == 0 {
		g.WriteString("\uFEFF")
	}
	if g.IntN(2) == 0 {
		g.WriteString(g.pick(`<?xml version="1.0"?>`, `<?xml version='1.0' encoding='UTF-8' standalone="yes" ?>`,
			`<?xml version="1.0" encoding="utf-8"?>`) + "\r\n")
	}
	g.misc()
	g.element(0, map[string]string{})
	g.misc()
	return g.String()
}

func (g *generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *generator) space() string { return g.pick(" ", " ", "  ", "\n", "\t", "\r\n ") }

func (g *generator) optional() string { return g.pick("", "", "", " ", "\n") }

func (g *generator) misc() {
	for range g.IntN(3) {
		g.WriteString(g.pick("", "\n", "\r\n\t", " "))
		if g.IntN(2) == 0 {
			g.comment()
		} else {
			g.procInst()
		}
		g.WriteString(g.pick("", "\n", "\r", " "))
	}
}

func (g *generator) comment() {
	g.WriteString("<!--" + g.pick("", " note ", "line\r\nend\rof - line", "&amp; <b> ]]>", "Ж\U0001F600") + "-->")
}

func (g *generator) procInst() {
	g.WriteString("<?" + g.pick("pi", "p-i.x", "ПИ", "xml-stylesheet") +
		g.pick("", " ", " data", "\t  a=\"&amp;\"  ", "\n<x>\r\n?>"[:5], " ? >") + "?>")
}

var (
	prefixes = []string{"", "a", "b", "c", "ns1", "я"}
	uris     = []string{"urn:a", "urn:b", "urn:a:b", "http://example.org/x?y=1;z=%41", "urn:c"}
	locals   = []string{"a", "B", "c-d", "e.f", "_g", "Ж", "данные", "h1", "\U00010400"}
)

func (g *generator) element(depth int, scope map[string]string) {
	inner := make(map[string]string, len(scope))
	for k, v := range scope {
		inner[k] = v
	}
	var tag []string
	for _, p := range prefixes {
		if g.IntN(4) > 0 && (depth > 0 || !g.plain || p != "") {
			continue
		}
		uri := uris[g.IntN(len(uris))]
		if p == "" && !g.plain && g.IntN(3) == 0 {
			uri = ""
		}
		inner[p] = uri
		name := "xmlns"
		if p != "" {
			name += ":" + p
		}
		tag = append(tag, name+g.optional()+"="+g.optional()+g.pick(`"`+uri+`"`, `'`+uri+`'`))
	}
	var known []string
	for _, p := range prefixes {
		if p != "" && inner[p] != "" {
			known = append(known, p)
		}
	}
	seen := map[string]bool{}
	for range g.IntN(5) {
		local, space, prefix := g.pick(locals...), "", ""
		switch {
		case !g.plain && g.IntN(6) == 0:
			prefix, space, local = "xml:", "xml", g.pick("lang", "space", "base", "id", "other")
		case len(known) > 0 && g.IntN(2) == 0:
			p := g.pick(known...)
			prefix, space = p+":", inner[p]
		}
		if seen[space+" "+local] {
			continue
		}
		seen[space+" "+local] = true
		value := g.value()
		switch prefix + local {
		case "xml:id": // libxml2 complains of other values
			value = fmt.Sprintf("id%d", g.Len())
		case "xml:space":
			value = "preserve"
		case "xml:lang":
			value = "ru"
		case "xml:base":
			value = "x/y"
		case "xml:other":
			value = "o"
		}
		quote := g.pick(`"`, `'`)
		tag = append(tag, prefix+local+g.optional()+"="+g.optional()+quote+strings.ReplaceAll(value, quote, "&#34;")+quote)
	}
	g.Shuffle(len(tag), func(i, j int) { tag[i], tag[j] = tag[j], tag[i] })
	name := g.pick(locals...)
	if len(known) > 0 && g.IntN(2) == 0 {
		name = g.pick(known...) + ":" + name
	}
	g.WriteString("<" + name)
	for _, t := range tag {
		g.WriteString(g.space() + t)
	}
	g.WriteString(g.optional())
	if g.IntN(6) == 0 {
		g.WriteString("/>")
		return
	}
	g.WriteString(">")
	for range g.IntN(6) {
		switch k := g.IntN(10); {
		case k < 4 && depth < 6:
			g.element(depth+1, inner)
		case k == 4:
			g.comment()
		case k == 5:
			g.procInst()
		case k == 6:
			g.WriteString("<![CDATA[" + g.pick("", " ", "<a>&amp;]]", "text\r\nmore\r", ">> \"Ж\"") + "]]>")
		default:
			g.text()
		}
	}
	g.WriteString("</" + name + g.optional() + ">")
}

func (g *generator) text() {
	for range 1 + g.IntN(3) {
		g.WriteString(g.pick("text", "\n  ", "\r\n", "\r", "\t", "&lt;&amp;&gt;&quot;&apos;", "&#13;", "&#xD;&#xA;", "&#9;",
			"Привет", "\U0001F600", "&#x1F600;", "]] ", "> ]>", "a long text of more than twelve characters >&gt;&lt;>",
			"\u0085", "\u00A0", "&#x2028;", `"'`, "\uFFFD"))
	}
}

func (g *generator) value() string {
	var b strings.Builder
	for range g.IntN(4) {
		b.WriteString(g.pick("v", " ", "  ", "\t", "\n", "\r\n", "\r", "&#9;", "&#10;", "&#13;", "&lt;", "&gt;", ">", "&amp;",
			"&quot;", "&apos;", "\"", "'", "Ж", "\U0001F600", "&#x1F600;", "\u0085"))
	}
	return b.String()
}
