// Command apidoc says in Markdown what the published protobuf says, and holds it against what was published before. It reads a
// FileDescriptorSet with source information from a file.
//
//	apidoc doc SET            writes the documentation
//	apidoc surface SET        writes the surface: what callers rely on, a line each
//	apidoc breaks SURFACE SET tells what of a surface is no more, and fails if anything is
package main

import (
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: apidoc doc|surface SET, apidoc breaks SURFACE SET")
	}
	set, err := read(args[len(args)-1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "doc":
		_, err = os.Stdout.Write(document(set))
	case "surface":
		_, err = fmt.Println(strings.Join(surface(set), "\n"))
	case "breaks":
		var published []byte
		if published, err = os.ReadFile(args[1]); err != nil {
			return err
		}
		if gone := breaks(string(published), set); len(gone) > 0 {
			return fmt.Errorf("callers rely on what is no more:\n\t%s", strings.Join(gone, "\n\t"))
		}
	default:
		return fmt.Errorf("no command %q", args[0])
	}
	return err
}

func read(name string) (*descriptorpb.FileDescriptorSet, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	return set, proto.Unmarshal(data, set)
}
