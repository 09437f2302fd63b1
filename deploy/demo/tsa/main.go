// Command tsa is a time-stamping authority for demonstrations and tests: RFC 3161 over HTTP on a loopback address, with a key
// in a file. Nothing about it is fit for anything else.
package main

import (
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/tsp"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "loopback `address`")
	certificate := flag.String("certificate", "", "`file` with the authority's certificate and those to send along, PEM")
	key := flag.String("key", "", "`file` with its GOST key, PKCS #8, PEM")
	flag.Parse()
	if err := run(*listen, *certificate, *key); err != nil {
		fmt.Fprintln(os.Stderr, "tsa:", err)
		os.Exit(1)
	}
}

func run(listen, certificate, key string) error {
	authority, err := load(certificate, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return errors.New("this authority is for a loopback address only")
	}
	fmt.Printf("http://%s/\n", listener.Addr())
	go leave(os.Getppid())
	server := &http.Server{Handler: authority, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	return server.Serve(listener)
}

func load(certificate, key string) (*tsp.Authority, error) {
	data, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	chain, err := gost.ParseCertificates(data)
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", certificate)
	}
	if data, err = os.ReadFile(key); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", key)
	}
	private, err := gost.ParsePrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !private.Public().(*gost.PublicKey).Equal(chain[0].PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	return &tsp.Authority{
		Certificate: chain[0], Chain: chain[1:], Key: private, Policy: []int{1, 2, 643, 7, 77}, Accuracy: time.Second,
	}, nil
}

// leave ends the process when the one that started it has ended.
func leave(parent int) {
	for os.Getppid() == parent {
		time.Sleep(time.Second)
	}
	os.Exit(0)
}
