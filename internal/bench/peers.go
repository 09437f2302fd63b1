package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/load"
)

// javaPeer is peer/Peer.java with the libraries that it takes, as Debian ships them.
const javaPeer = "internal/bench/peer/Peer.java"

var javaLibraries = []string{"bcprov.jar", "xmlsec.jar", "slf4j-api.jar", "commons-codec.jar"}

// peersGroup compares with the libraries that are not everywhere: Botan, and on a virtual machine that has warmed up Bouncy
// Castle and Apache Santuario. Those that are absent are told and left out.
func peersGroup(peers string, rounds int) error {
	message := make([]byte, 1<<20)
	rand.Read(message)
	digest := message[:32]
	private, err := gost.GenerateKey(rand.Reader, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	if err != nil {
		return err
	}
	signature, err := private.Sign(rand.Reader, digest, nil)
	if err != nil {
		return err
	}
	public := private.Public().(*gost.PublicKey)
	hash := gost.Streebog256.New()
	operations := []comparison{
		{name: "streebog", peer: "hash256", input: message, ours: func() { hash.Reset(); hash.Write(message); hash.Sum(nil) }},
		{name: "verify256-cold", peer: "verify256", input: digest, ours: func() { must(public.Verify(digest, signature)) }},
		{name: "sign256", peer: "sign256", input: digest, ours: func() {
			_, err := private.Sign(rand.Reader, digest, nil)
			must(err)
		}},
	}
	if _, err := os.Stat(filepath.Join(peers, "botan")); err != nil {
		fmt.Println("# Botan is absent")
	} else {
		var list []comparison
		for _, c := range operations {
			c.name, c.program = "peers/botan-"+c.name, "botan"
			list = append(list, c)
		}
		if err := run(list, peers, rounds); err != nil {
			return err
		}
	}
	java, err := javaCommand()
	if err != nil {
		fmt.Printf("# Bouncy Castle and Santuario are absent: %v\n", err)
		return nil
	}
	doc := load.Message(20 << 10)
	chain := []canon.Transform{{URI: canon.ExclusiveURI}}
	operations = append(operations, comparison{name: "santuario-c14n-20k", peer: "c14n", input: doc, ours: func() {
		must(canon.Apply(io.Discard, doc, canon.Node{Whole: true}, chain, xmltext.Limits{}))
	}})
	for _, c := range operations {
		if c.peer != "c14n" {
			c.name = "bouncycastle-" + c.name
		}
		c.name = "peers/" + c.name
		if err := beside(c, java, rounds); err != nil {
			return err
		}
	}
	return nil
}

func javaCommand() ([]string, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	var path []string
	for _, jar := range javaLibraries {
		file := filepath.Join("/usr/share/java", jar)
		if _, err := os.Stat(file); err != nil {
			return nil, err
		}
		path = append(path, file)
	}
	return []string{java, "-cp", strings.Join(path, ":"), javaPeer}, nil
}

// beside compares with a peer that stays and answers once a round.
func beside(c comparison, command []string, rounds int) error {
	file, err := os.CreateTemp("", "epov-bench")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(c.input)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	cmd := exec.Command(command[0], append(command[1:], c.peer, file.Name())...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	answers := bufio.NewScanner(out)
	if !answers.Scan() || answers.Text() != "ready" {
		return fmt.Errorf("%s: not ready: %w", c.peer, cmd.Wait())
	}
	var ours, theirs []float64
	for range rounds {
		ours = append(ours, measure(c.ours))
		fmt.Fprintln(in, slice.Milliseconds())
		if !answers.Scan() {
			return fmt.Errorf("%s: no answer: %w", c.peer, cmd.Wait())
		}
		ns, err := strconv.ParseFloat(answers.Text(), 64)
		if err != nil {
			return err
		}
		theirs = append(theirs, ns)
	}
	if err := in.Close(); err != nil {
		return err
	}
	tell(c.name, ours, theirs)
	return cmd.Wait()
}
