package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/descriptorpb"
)

// surface lists what callers rely on: methods with what goes each way, fields with number, type and presence, enum values with
// number. A line that disappears or changes breaks somebody; a new one does not.
func surface(set *descriptorpb.FileDescriptorSet) []string {
	var lines []string
	for _, f := range set.File {
		add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
		for _, s := range f.Service {
			for _, m := range s.Method {
				add("rpc %s.%s.%s %s returns %s", f.GetPackage(), s.GetName(), m.GetName(),
					streamed(m.GetClientStreaming(), m.GetInputType()), streamed(m.GetServerStreaming(), m.GetOutputType()))
			}
		}
		for _, e := range f.EnumType {
			enumSurface(add, f.GetPackage(), e)
		}
		for _, m := range f.MessageType {
			messageSurface(add, f.GetPackage(), m)
		}
	}
	slices.Sort(lines)
	return lines
}

func streamed(stream bool, of string) string {
	of = strings.TrimPrefix(of, ".")
	if stream {
		return "stream " + of
	}
	return of
}

func enumSurface(add func(string, ...any), in string, e *descriptorpb.EnumDescriptorProto) {
	for _, v := range e.Value {
		add("enum %s.%s %d %s", in, e.GetName(), v.GetNumber(), v.GetName())
	}
}

func messageSurface(add func(string, ...any), in string, m *descriptorpb.DescriptorProto) {
	name := in + "." + m.GetName()
	add("message %s", name)
	for _, f := range m.Field {
		presence := ""
		switch {
		case f.GetLabel() == descriptorpb.FieldDescriptorProto_LABEL_REPEATED:
			presence = "repeated "
		case f.GetProto3Optional():
			presence = "optional "
		case f.OneofIndex != nil:
			presence = "oneof " + m.OneofDecl[f.GetOneofIndex()].GetName() + " "
		}
		add("field %s %d %s %s%s", name, f.GetNumber(), f.GetName(), presence, typeName(f))
	}
	for _, e := range m.EnumType {
		enumSurface(add, name, e)
	}
	for _, n := range m.NestedType {
		messageSurface(add, name, n)
	}
}

func typeName(f *descriptorpb.FieldDescriptorProto) string {
	if f.GetTypeName() != "" {
		return strings.TrimPrefix(f.GetTypeName(), ".")
	}
	return strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
}

// breaks are the lines of a published surface that are no more.
func breaks(published string, set *descriptorpb.FileDescriptorSet) (gone []string) {
	now := map[string]bool{}
	for _, line := range surface(set) {
		now[line] = true
	}
	for line := range strings.Lines(published) {
		if line = strings.TrimSpace(line); line != "" && !now[line] {
			gone = append(gone, line)
		}
	}
	return gone
}
