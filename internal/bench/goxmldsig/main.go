// Command goxmldsig is a peer of the benchmark: exclusive canonicalization with github.com/russellhaering/goxmldsig over a tree
// of github.com/beevik/etree. It is a module of its own, so that nothing of epov depends on it, and speaks as peer.c does:
//
//	goxmldsig MILLISECONDS c14n FILE
//
// repeats the operation for about that long and prints the nanoseconds of processor time that one took.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "goxmldsig:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 || args[1] != "c14n" {
		return fmt.Errorf("usage: goxmldsig MILLISECONDS c14n FILE")
	}
	budget, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	input, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	op := func() error {
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(input); err != nil {
			return err
		}
		_, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(doc.Root())
		return err
	}
	if err := op(); err != nil {
		return err
	}
	start, n, now := spent(), int64(0), int64(0)
	for now < budget*1e6 {
		if err := op(); err != nil {
			return err
		}
		n, now = n+1, spent()-start
	}
	fmt.Printf("%.1f\n", float64(now)/float64(n))
	return nil
}

// spent is the processor time of this process in nanoseconds.
func spent() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
