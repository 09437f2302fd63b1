package tsp

import (
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net/http"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
)

// Authority is a time-stamping authority with a key in software. It keeps no record of what it issued and takes the time from
// the machine: for tests and demonstrations only.
type Authority struct {
	Certificate *gost.Certificate // whose extended key usage is timeStamping, critical
	Chain       []*gost.Certificate
	Key         *gost.PrivateKey
	Policy      asn1.ObjectIdentifier
	Accuracy    time.Duration
	Now         func() time.Time // nil: time.Now
}

// Answer answers one request, in DER, in DER.
func (a *Authority) Answer(query []byte) ([]byte, error) {
	request, err := ParseRequest(query)
	refuse := func(f Failure, text string) ([]byte, error) {
		return (&Response{Status: Rejection, Failure: f, Text: text}).Marshal()
	}
	switch {
	case errors.Is(err, errVersion):
		return refuse(BadRequest, "the version must be 1")
	case errors.Is(err, errExtension):
		return refuse(UnacceptedExtension, "extensions are not understood")
	case err != nil:
		return refuse(BadDataFormat, "the request cannot be read")
	case cms.ImprintSize(request.Digest) == 0:
		return refuse(BadAlg, "the digest is not known")
	case cms.ImprintSize(request.Digest) != len(request.Imprint):
		return refuse(BadDataFormat, "the imprint has a wrong length")
	case request.Policy != nil && !request.Policy.Equal(a.Policy):
		return refuse(UnacceptedPolicy, "another policy is in force")
	}
	token, err := a.issue(request)
	if err != nil {
		return refuse(SystemFailure, "")
	}
	return (&Response{Status: Granted, Failure: NoFailure, Token: token}).Marshal()
}

func (a *Authority) issue(request *Request) ([]byte, error) {
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	ts := &cms.TimeStamp{
		Time: now(), Accuracy: a.Accuracy, Policy: a.Policy, Serial: serial, Nonce: request.Nonce,
		Digest: request.Digest, Imprint: request.Imprint,
	}
	in := cms.Input{Certificate: a.Certificate}
	if request.Certificates {
		in.Chain = append([]*gost.Certificate{}, a.Chain...)
	}
	prepared, err := ts.Prepare(in)
	if err != nil {
		return nil, err
	}
	value, err := a.Key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		return nil, err
	}
	return prepared.Complete(value)
}

// ServeHTTP answers requests of RFC 3161 section 3.4.
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != mediaQuery {
		http.Error(w, "POST "+mediaQuery, http.StatusBadRequest)
		return
	}
	query, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "the request is too long", http.StatusRequestEntityTooLarge)
		return
	}
	reply, err := a.Answer(query)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mediaReply)
	_, _ = w.Write(reply)
}
