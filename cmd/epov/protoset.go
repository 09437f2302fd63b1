package main

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/epov-signer/epov/api/epovpb"
)

type protosetCmd struct {
	Out string `short:"o" placeholder:"FILE" help:"Where to write; default: standard output."`
}

// Help is shown by --help.
func (*protosetCmd) Help() string {
	return `A FileDescriptorSet of epov.v1, with the messages of error details, for whatever speaks gRPC without generated code: grpcurl
with -protoset, Python and others with a descriptor pool. deploy/examples shows both.`
}

func (c *protosetCmd) Run(con *console) error {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(protoset(pb.File_epov_v1_epov_proto,
		pb.File_epov_v1_audit_proto, pb.File_epov_v1_monitor_proto,
		errdetails.File_google_rpc_error_details_proto))
	if err != nil {
		return err
	}
	return con.write(c.Out, data, true)
}

// protoset collects files and what they import, each after its imports.
func protoset(roots ...protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	for _, f := range roots {
		add(f)
	}
	return set
}
