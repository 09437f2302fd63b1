package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/epov-signer/epov/api/epovpb"
)

func api() *descriptorpb.FileDescriptorSet {
	return &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(epovpb.File_epov_v1_epov_proto),
	}}
}

func message(f *descriptorpb.FileDescriptorProto, name string) *descriptorpb.DescriptorProto {
	for _, m := range f.MessageType {
		if m.GetName() == name {
			return m
		}
	}
	panic(name)
}

// What is committed as published is what the generated code says.
func TestPublishedSurface(t *testing.T) {
	published, err := os.ReadFile("../../api/epovpb/surface.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range surface(api()) {
		if !strings.Contains(string(published), line+"\n") {
			t.Errorf("surface.txt lacks %s: run make proto", line)
		}
	}
}

func TestEveryBreakIsNoticed(t *testing.T) {
	published := strings.Join(surface(api()), "\n")
	if gone := breaks(published, api()); gone != nil {
		t.Fatal(gone)
	}
	for name, change := range map[string]func(*descriptorpb.FileDescriptorProto){
		"field removed": func(f *descriptorpb.FileDescriptorProto) {
			m := message(f, "SignXmlRequest")
			m.Field = m.Field[1:]
		},
		"field renumbered": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "SignXmlRequest").Field[0].Number = proto.Int32(99)
		},
		"field renamed": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "SignXmlRequest").Field[0].Name = proto.String("x")
		},
		"field retyped": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "SignXmlRequest").Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum()
		},
		"field of another message": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VerifyXmlResponse").Field[2].TypeName = proto.String(".epov.v1.Check")
		},
		"field repeated": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "SignXmlRequest").Field[0].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		},
		"presence taken": func(f *descriptorpb.FileDescriptorProto) {
			for _, field := range message(f, "SignXmlRequest").Field {
				field.Proto3Optional, field.OneofIndex = nil, nil
			}
		},
		"field out of its oneof": func(f *descriptorpb.FileDescriptorProto) { message(f, "SignCmsRequest").Field[2].OneofIndex = nil },
		"map of other values": func(f *descriptorpb.FileDescriptorProto) {
			message(f, "VerifyXmlRequest").NestedType[0].Field[1].Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		},
		"message removed": func(f *descriptorpb.FileDescriptorProto) {
			f.MessageType = slices.DeleteFunc(f.MessageType,
				func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == "ListKeysRequest" })
		},
		"service removed":      func(f *descriptorpb.FileDescriptorProto) { f.Service = f.Service[1:] },
		"method removed":       func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Method = f.Service[0].Method[1:] },
		"method renamed":       func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Method[0].Name = proto.String("Sign") },
		"method with a stream": func(f *descriptorpb.FileDescriptorProto) { f.Service[0].Method[0].ServerStreaming = proto.Bool(true) },
		"method of other messages": func(f *descriptorpb.FileDescriptorProto) {
			f.Service[0].Method[0].OutputType = f.Service[0].Method[1].OutputType
		},
		"enum value removed":    func(f *descriptorpb.FileDescriptorProto) { f.EnumType[0].Value = f.EnumType[0].Value[1:] },
		"enum value renumbered": func(f *descriptorpb.FileDescriptorProto) { f.EnumType[0].Value[1].Number = proto.Int32(77) },
		"enum value renamed":    func(f *descriptorpb.FileDescriptorProto) { f.EnumType[0].Value[1].Name = proto.String("X") },
	} {
		set := proto.CloneOf(api())
		change(set.File[0])
		if len(breaks(published, set)) == 0 {
			t.Errorf("%s is not noticed", name)
		}
	}
	// What is new breaks nobody.
	set := proto.CloneOf(api())
	m := message(set.File[0], "SignXmlRequest")
	m.Field = append(m.Field, &descriptorpb.FieldDescriptorProto{
		Name: proto.String("more"), Number: proto.Int32(1000), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	})
	if gone := breaks(published, set); gone != nil {
		t.Error(gone)
	}
}

// Everything that can be called and sent is in the documentation, and said something about.
func TestDocumentation(t *testing.T) {
	written, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range api().File[0].Service {
		for _, m := range s.Method {
			_, rest, ok := strings.Cut(string(written), "### "+s.GetName()+"."+m.GetName()+"\n")
			said, _, _ := strings.Cut(rest, "\n#")
			if !ok || len(strings.Split(strings.TrimSpace(said), "\n\n")) < 2 {
				t.Errorf("%s.%s is not documented", s.GetName(), m.GetName())
			}
		}
	}
	for _, m := range api().File[0].MessageType {
		if !strings.Contains(string(written), "\n### "+m.GetName()+"\n") {
			t.Errorf("%s is not documented", m.GetName())
		}
	}
}

func TestParse(t *testing.T) {
	got := parse(" One line\n and another.\n\n A list:\n   short    is\n            what it is\n   tight it is\n After it.\n")
	want := []block{{text: "One line and another."}, {text: "A list:"}, {true, "short", "is what it is"},
		{true, "tight", "it is"}, {text: "After it."}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
