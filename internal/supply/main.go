// Command supply looks at what the programs are made of.
//
//	supply licences docs/dependencies.md [TOOL...]   every module that is linked, tested with, or in a tool has a licence that allows it
//	supply sbom PROGRAM...                           the list of a program's parts, in CycloneDX, to PROGRAM.cdx.json
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 1 && args[0] == "licences":
		return checkLicences(args[1], args[2:], os.Stdout)
	case len(args) > 1 && args[0] == "sbom":
		for _, program := range args[1:] {
			if err := writeSBOM(program); err != nil {
				return fmt.Errorf("%s: %w", program, err)
			}
		}
		return nil
	}
	return errors.New("usage: supply licences docs/dependencies.md [TOOL...], or supply sbom and programs")
}
