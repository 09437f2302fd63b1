package main

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// Numbers of fields of descriptors, of which paths of source information are made.
const (
	fileMessage, fileEnum, fileService, fileSyntax = 4, 5, 6, 12
	messageField, enumValue, serviceMethod         = 2, 2, 2
)

// page is a document on its way.
type page struct {
	bytes.Buffer
	comments map[string]string
	own      map[string]bool // full names that have a heading
}

// document writes all files, services first.
func document(set *descriptorpb.FileDescriptorSet) []byte {
	p := &page{own: map[string]bool{}}
	p.WriteString("<!-- Made of the comments in api/epovpb by `make proto`; change it there. -->\n\n# The API, epov.v1\n")
	files := slices.Clone(set.File)
	slices.SortStableFunc(files, func(a, b *descriptorpb.FileDescriptorProto) int { // the main one first
		rank := func(f *descriptorpb.FileDescriptorProto) int {
			if strings.HasSuffix(f.GetName(), "epov.proto") {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	for _, f := range files {
		for _, m := range f.MessageType {
			p.own["."+f.GetPackage()+"."+m.GetName()] = true
		}
		for _, e := range f.EnumType {
			p.own["."+f.GetPackage()+"."+e.GetName()] = true
		}
	}
	for i, f := range files {
		p.read(f)
		if intro := p.comments[path(fileSyntax)]; intro != "" && i == 0 {
			p.text("", intro)
		} else if intro != "" {
			fmt.Fprintf(p, "\n---\n")
			p.text("", intro)
		}
		p.services(f)
	}
	p.WriteString("\n## Messages\n")
	for _, f := range files {
		p.read(f)
		p.messages(f)
	}
	return p.Bytes()
}

func path(numbers ...int32) string { return fmt.Sprint(numbers) }

// read takes up the comments of a file.
func (p *page) read(f *descriptorpb.FileDescriptorProto) {
	p.comments = map[string]string{}
	for _, l := range f.GetSourceCodeInfo().GetLocation() {
		if l.LeadingComments != nil {
			p.comments[path(l.Path...)] = *l.LeadingComments
		}
	}
}

func (p *page) services(f *descriptorpb.FileDescriptorProto) {
	for i, s := range f.Service {
		fmt.Fprintf(p, "\n## %s\n", s.GetName())
		p.text("", p.comments[path(fileService, int32(i))])
		for j, m := range s.Method {
			fmt.Fprintf(p, "\n### %s.%s\n\n%s returns %s\n", s.GetName(), m.GetName(),
				p.stream(m.GetClientStreaming(), m.GetInputType()), p.stream(m.GetServerStreaming(), m.GetOutputType()))
			p.text("", p.comments[path(fileService, int32(i), serviceMethod, int32(j))])
		}
	}
}

func (p *page) stream(stream bool, of string) string {
	if stream {
		return "stream of " + p.link(of)
	}
	return p.link(of)
}

// link names a type, with a link to it where it has a heading.
func (p *page) link(full string) string {
	name := full[strings.LastIndexByte(full, '.')+1:]
	if p.own[full] {
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	}
	return "`" + strings.TrimPrefix(full, ".") + "`"
}

func (p *page) messages(f *descriptorpb.FileDescriptorProto) {
	for i, m := range f.MessageType {
		fmt.Fprintf(p, "\n### %s\n", m.GetName())
		p.text("", p.comments[path(fileMessage, int32(i))])
		p.WriteString("\n")
		for j, field := range m.Field {
			fmt.Fprintf(p, "- `%s` = %d, %s", field.GetName(), field.GetNumber(), p.describe(m, field))
			p.item(p.comments[path(fileMessage, int32(i), messageField, int32(j))])
		}
	}
	for i, e := range f.EnumType {
		fmt.Fprintf(p, "\n### %s\n", e.GetName())
		p.text("", p.comments[path(fileEnum, int32(i))])
		p.WriteString("\n")
		for j, v := range e.Value {
			fmt.Fprintf(p, "- `%s` = %d", v.GetName(), v.GetNumber())
			p.item(p.comments[path(fileEnum, int32(i), enumValue, int32(j))])
		}
	}
}

func (p *page) describe(m *descriptorpb.DescriptorProto, f *descriptorpb.FieldDescriptorProto) string {
	what := typeName(f)
	if f.GetTypeName() != "" {
		what = p.link(f.GetTypeName())
	}
	for _, n := range m.NestedType { // maps are messages of key and value
		if n.GetOptions().GetMapEntry() && strings.HasSuffix(f.GetTypeName(), "."+m.GetName()+"."+n.GetName()) {
			return fmt.Sprintf("map from %s to %s", typeName(n.Field[0]), typeName(n.Field[1]))
		}
	}
	switch {
	case f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED:
		return what + ", repeated"
	case f.GetProto3Optional():
		return what + ", optional"
	case f.OneofIndex != nil:
		return what + ", one of " + m.OneofDecl[f.GetOneofIndex()].GetName()
	}
	return what
}

// item ends a line of a list with what is said of it.
func (p *page) item(comment string) {
	if strings.TrimSpace(comment) == "" {
		p.WriteString("\n")
		return
	}
	blocks := parse(comment)
	if !blocks[0].entry {
		p.WriteString(": " + blocks[0].text + "\n")
		blocks = blocks[1:]
	} else {
		p.WriteString(":\n")
	}
	p.blocks("  ", blocks)
}

// text writes a comment as paragraphs.
func (p *page) text(indent, comment string) {
	if strings.TrimSpace(comment) != "" {
		p.blocks(indent, parse(comment))
	}
}

func (p *page) blocks(indent string, blocks []block) {
	for i, b := range blocks {
		if !b.entry {
			fmt.Fprintf(p, "\n%s%s\n", indent, b.text)
			continue
		}
		if indent == "" && (i == 0 || !blocks[i-1].entry) {
			p.WriteString("\n")
		}
		fmt.Fprintf(p, "%s- %s: %s\n", indent, b.name, b.text)
	}
}

// block is a paragraph, or an entry of a list: "  name  what it is", with lines that are indented further.
type block struct {
	entry      bool
	name, text string
}

var listed = regexp.MustCompile(`^( {2,4})(\S+(?: \S+)*?)(?: {2,}(\S.*)| (\S.*))$`)

func parse(comment string) (blocks []block) {
	fresh, inside := true, -1
	for line := range strings.Lines(comment) {
		line = strings.TrimPrefix(strings.TrimRight(line, " \n"), " ")
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case line == "":
			fresh = true
			continue
		case depth >= 2 && (inside < 0 || depth <= inside):
			if m := listed.FindStringSubmatch(line); m != nil {
				blocks = append(blocks, block{entry: true, name: m[2], text: m[3] + m[4]})
				inside, fresh = depth, false
				continue
			}
		case depth < 2:
			if inside >= 0 {
				fresh = true
			}
			inside = -1
		}
		line = strings.TrimSpace(line)
		if fresh || len(blocks) == 0 {
			blocks = append(blocks, block{text: line})
		} else {
			blocks[len(blocks)-1].text += " " + line
		}
		fresh = false
	}
	return blocks
}
