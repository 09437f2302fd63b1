package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/trust/directory"
	"github.com/epov-signer/epov/signer/trust/revocation"
)

// patience is how long a verification of this process waits for what it fetches about one certificate.
const patience = 30 * time.Second

// store decides about signers; nil without anchors and directory: then trust is reported as not checked.
func (l *here) store() (*trust.Store, error) {
	var c trust.Certificates
	var err error
	if c.Anchors, err = readCertificates(l.Anchors); err != nil {
		return nil, err
	}
	if c.Intermediates, err = readCertificates(l.Intermediates); err != nil {
		return nil, err
	}
	if l.Directory == "" {
		if len(c.Anchors) == 0 {
			return nil, nil
		}
		return l.storeOf(c, nil)
	}
	contents, err := directory.At(l.Directory).Load()
	if err != nil {
		return nil, err
	}
	if len(contents.Manifest.Sources) == 0 {
		return nil, usagef("%s: nothing was imported there yet; see epov trust import", l.Directory)
	}
	imported := contents.Certificates
	c.Anchors, c.Intermediates = slices.Concat(c.Anchors, imported.Anchors), slices.Concat(c.Intermediates, imported.Intermediates)
	c.Accredited = imported.Accredited
	return l.storeOf(c, contents.CRLs)
}

// node decides who may sign as SMEV itself.
func (l *here) node() (*trust.Store, error) {
	var c trust.Certificates
	var err error
	if c.Anchors, err = readCertificates(l.SMEV); err != nil {
		return nil, err
	}
	if c.Intermediates, err = readCertificates(l.Intermediates); err != nil {
		return nil, err
	}
	if len(c.Anchors) == 0 {
		return nil, nil
	}
	return l.storeOf(c, nil)
}

func (l *here) storeOf(c trust.Certificates, addresses map[string][]string) (*trust.Store, error) {
	config := trust.Config{Certificates: c}
	if config.Policy.Revocation = l.mode(); config.Policy.Revocation != trust.RevocationOff {
		library, err := l.library()
		if err != nil {
			return nil, err
		}
		library.SetAddresses(addresses)
		config.Revocations = library
	}
	return trust.NewStore(config), nil
}

// mode: whoever gives CRLs wants them looked at.
func (l *here) mode() trust.Mode {
	switch {
	case l.Revocation == "required":
		return trust.RevocationRequired
	case l.Revocation == "if-available", l.Revocation == "" && (len(l.CRL) > 0 || l.Fetch):
		return trust.RevocationIfAvailable
	}
	return trust.RevocationOff
}

func (l *here) library() (*revocation.Library, error) {
	config := revocation.Config{
		Fetch: l.Fetch, OCSP: l.Fetch, PrivateAddresses: l.Private, Wait: patience, Timeout: patience,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, name := range l.CRL {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			config.Folders = append(config.Folders, name)
		} else {
			config.Files = append(config.Files, name)
		}
	}
	library, err := revocation.Open(config)
	if err != nil {
		return nil, usageError{err}
	}
	if l.Fetch {
		go library.Run(context.Background()) // as long as this process lives
	}
	return library, nil
}
