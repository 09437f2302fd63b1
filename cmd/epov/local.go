package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// local is verification within this process, where a daemon could do it too.
type local struct {
	Local bool `help:"Verify here, without a daemon."`
	here  `embed:"" group:"With --local:"`
}

// here is how verification within this process is done.
type here struct {
	Anchors       []string `placeholder:"FILE" help:"Certificates to trust, PEM or DER; without any, trust is not checked."`
	Intermediates []string `placeholder:"FILE" help:"Certificates to build paths with."`
	SMEV          []string `name:"smev" placeholder:"FILE" help:"Certificates that may sign as SMEV itself, or their issuers'."`
	Directory     string   `name:"trust-directory" placeholder:"DIR" help:"Trust what epov trust import has put there."`
	Revocation    string   `enum:",off,if-available,required" default:"" placeholder:"MODE" help:"off (the default without --crl and --fetch), if-available or required."`
	CRL           []string `name:"crl" placeholder:"FILE" help:"CRLs, files or folders, PEM or DER."`
	Fetch         bool     `help:"Fetch CRLs and OCSP responses from the addresses in trusted certificates."`
	Private       bool     `name:"private-addresses" help:"With --fetch: reach loopback and private networks too."`
	Dump          string   `placeholder:"DIR" help:"Write the octets that were digested into this folder, for checking with other tools."`
}

func (l *local) check() error {
	if !l.Local && (len(l.Anchors) > 0 || len(l.Intermediates) > 0 || len(l.SMEV) > 0 || l.Dump != "" || l.Directory != "" ||
		l.Revocation != "" || len(l.CRL) > 0 || l.Fetch || l.Private) {
		return usagef("--anchors, --intermediates, --smev, --trust-directory, --revocation, --crl, --fetch, --private-addresses and --dump go with --local; " +
			"a daemon has its own configuration")
	}
	return nil
}

// xml verifies with a policy that lacks the profile and who is trusted.
func (l *here) xml(doc []byte, policy xmldsig.Policy, profile string) (*report.Report, error) {
	var err error
	if policy.Trust, err = l.store(); err != nil {
		return nil, err
	}
	if policy.Node, err = l.node(); err != nil {
		return nil, err
	}
	if profile != "" {
		if policy.Profile = xmldsig.ProfileByName(profile); policy.Profile == nil {
			return nil, usagef("there is no profile %q", profile)
		}
	}
	dump := l.dump()
	policy.Trace = dump.trace()
	r, err := xmldsig.Verify(doc, policy)
	return r, errors.Join(err, dump.err)
}

func (l *here) cms(message, content []byte, profile string, at time.Time) (*report.Report, error) {
	policy, err := l.cmsPolicy(profile, at)
	if err != nil {
		return nil, err
	}
	dump := l.dump()
	policy.Detached, policy.Content, policy.Trace = content != nil, content, dump.trace()
	r, err := cms.Verify(message, policy)
	return r, errors.Join(err, dump.err)
}

// cmsPolicy insists on a profile unless that is "".
func (l *here) cmsPolicy(profile string, at time.Time) (cms.Policy, error) {
	store, err := l.store()
	policy := cms.Policy{Trust: store, Time: at}
	if profile != "" && err == nil {
		if policy.Profile = cms.ProfileByName(profile); policy.Profile == nil {
			err = usagef("there is no profile %q of CMS", profile)
		}
	}
	return policy, err
}

// cmsFiles verifies a message and content of any size; content "" is none. ok is false when the message is not BER, or when
// octets are to be written down, which takes them into memory.
func (l *here) cmsFiles(message, content, profile string, at time.Time) (r *report.Report, ok bool, err error) {
	if l.Dump != "" || message == "-" || content == "-" {
		return nil, false, nil
	}
	f, err := os.Open(message)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	var first [1]byte
	if n, _ := f.ReadAt(first[:], 0); n != 1 || first[0] != 0x30 {
		return nil, false, nil // PEM, XML, or a pipe, which cannot be read twice
	}
	policy, err := l.cmsPolicy(profile, at)
	if err != nil {
		return nil, false, err
	}
	if content != "" {
		c, err := os.Open(content)
		if err != nil {
			return nil, false, err
		}
		defer c.Close()
		policy.Reader = c
	}
	r, err = cms.VerifyStream(f, policy)
	return r, true, err
}

func readCertificates(files []string) ([]*gost.Certificate, error) {
	var all []*gost.Certificate
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		certs, err := certificatesIn(name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, certs...)
	}
	return all, nil
}

// dumper writes traced octets below a folder and keeps the first error.
type dumper struct {
	dir string
	err error
}

func (l *here) dump() *dumper { return &dumper{dir: l.Dump} }

// trace returns nil when nothing is to be dumped.
func (d *dumper) trace() func(string, []byte) {
	if d.dir == "" {
		return nil
	}
	return func(name string, octets []byte) {
		if d.err == nil {
			d.err = d.save(name, octets)
		}
	}
}

// save keeps to its owner what may be a confidential payload.
func (d *dumper) save(name string, octets []byte) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("octets called %q have no place in a folder", name)
	}
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, octets, 0o600)
}
