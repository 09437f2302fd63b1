package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/esia"
)

type esiaCmd struct {
	Secret esiaSecretCmd `cmd:"" help:"Sign a request to ESIA: print its parameters with client_secret, as JSON, before URL encoding."`
	Verify esiaVerifyCmd `cmd:"" help:"Verify client_secret against the parameters it came with (JSON, as secret prints them), here."`
}

// esiaSecretCmd makes the parameters of one request.
type esiaSecretCmd struct {
	connection
	Key         string    `placeholder:"NAME" help:"Key, such as keys/EXMP01/ov."`
	ClientID    string    `required:"" name:"client-id" placeholder:"MNEMONIC" help:"Mnemonic of the information system."`
	Scope       string    `required:"" help:"Scope of the request."`
	ScopeOrg    string    `help:"scope_org, for the scopes of organisations."`
	RedirectURI string    `name:"redirect-uri" placeholder:"URL" help:"redirect_uri, which /v2/ac and /v3/te sign."`
	Code        string    `help:"The authorization code, in a request for a token."`
	State       string    `placeholder:"UUID" help:"state; default: a new one."`
	Time        time.Time `placeholder:"RFC3339" help:"timestamp; default: now."`
	V1          bool      `name:"v1" help:"For /aas/oauth2/ac and /te: client_secret is a detached CMS message. Default: /v2/ac and /v3/te, where it is a bare signature, which needs the right sign-digest."`
	Out         string    `short:"o" placeholder:"FILE" help:"Where to write; default: standard output."`
}

func (c *esiaSecretCmd) request() (*esia.Request, error) {
	r := &esia.Request{
		Generation: esia.V2, ClientID: c.ClientID, Scope: c.Scope, ScopeOrg: c.ScopeOrg, RedirectURI: c.RedirectURI, Code: c.Code,
		State: c.State, Time: c.Time,
	}
	if c.V1 {
		r.Generation = esia.V1
	}
	if r.State == "" {
		r.State = esia.NewState()
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	return r, r.Check()
}

func (c *esiaSecretCmd) Run(ctx context.Context, con *console) error {
	r, err := c.request()
	if err != nil {
		return usageError{err}
	}
	return c.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		key, err := cfg.signingKey(c.Key)
		if err != nil {
			return err
		}
		var p esia.Parameters
		if c.V1 {
			p, err = c.v1(ctx, con, service, key, r)
		} else {
			p, err = c.v2(ctx, con, service, key, r)
		}
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		return con.write(c.Out, append(text, '\n'), false)
	})
}

func (c *esiaSecretCmd) v1(ctx context.Context, con *console, service *client.Client, key string,
	r *esia.Request) (esia.Parameters, error) {
	answer, err := service.SignCMS(ctx, &pb.SignCmsRequest{
		Key: key, Profile: "pkcs7-detached", Source: &pb.SignCmsRequest_Content{Content: r.Text()},
	})
	if err != nil {
		return esia.Parameters{}, err
	}
	con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
	return r.Parameters(answer.GetMessage(), nil)
}

// v2 signs with the key version whose certificate it puts beside the signature.
func (c *esiaSecretCmd) v2(ctx context.Context, con *console, service *client.Client, key string,
	r *esia.Request) (esia.Parameters, error) {
	info, err := service.Keys.GetKey(ctx, &pb.GetKeyRequest{Key: key})
	if err != nil {
		return esia.Parameters{}, err
	}
	certificate, err := gost.ParseCertificate(info.GetKey().GetCertificate())
	if err != nil {
		return esia.Parameters{}, errors.New("the key has no certificate that can be read, and ESIA wants its hash")
	}
	algorithm := algorithmByName(info.GetKey().GetAlgorithm())
	if algorithm == nil {
		return esia.Parameters{}, errors.New("the key has an algorithm that this program does not know: " + info.GetKey().GetAlgorithm())
	}
	answer, err := service.SignDigest(ctx, &pb.SignDigestRequest{
		Key: info.GetKey().GetName(), Digest: r.Digest(algorithm), DigestAlgorithm: algorithm.Digest.Name,
	})
	if err != nil {
		return esia.Parameters{}, err
	}
	con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
	return r.Parameters(answer.GetSignature(), certificate)
}

// esiaVerifyCmd verifies without a daemon.
type esiaVerifyCmd struct {
	here
	V1          bool      `name:"v1" help:"The request is for /aas/oauth2/ac or /te."`
	Certificate string    `placeholder:"FILE" help:"The client's certificate, PEM or DER; not with --v1, where it is in client_secret."`
	Time        time.Time `placeholder:"RFC3339" help:"When to judge certificates; default: now."`

	IntegrityOnly bool `help:"With --v1: succeed if the signature is whole, whoever made it."`
	rendering
	File string `arg:"" help:"The parameters, JSON; - is standard input."`
}

func (c *esiaVerifyCmd) Run(con *console) error {
	if c.V1 == (c.Certificate != "") {
		return usagef("exactly one of --v1 and --certificate is needed")
	}
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	var p esia.Parameters
	if err := json.Unmarshal(data, &p); err != nil {
		return usagef("%s is no JSON of parameters", c.File)
	}
	at, err := time.Parse(esia.TimeLayout, p.Timestamp)
	if err != nil {
		return usagef("timestamp is not written as in 2026.01.15 09:30:00 +0300")
	}
	r := &esia.Request{
		Generation: esia.V2, ClientID: p.ClientID, Scope: p.Scope, ScopeOrg: p.ScopeOrg, RedirectURI: p.RedirectURI, Code: p.Code,
		Time: at, State: p.State,
	}
	if c.V1 {
		return c.v1(con, r, p.ClientSecret)
	}
	certificates, err := readCertificates([]string{c.Certificate})
	if err != nil {
		return err
	}
	if len(certificates) == 0 {
		return usagef("%s holds no certificate", c.Certificate)
	}
	if err := r.VerifyV2(p.ClientSecret, p.CertificateHash, certificates[0]); err != nil {
		return err
	}
	_, err = con.out.Write([]byte("VALID  client_secret and client_certificate_hash are the certificate's\n"))
	return err
}

func (c *esiaVerifyCmd) v1(con *console, r *esia.Request, secret string) error {
	r.Generation = esia.V1
	policy, err := c.cmsPolicy("", c.Time)
	if err != nil {
		return err
	}
	found, err := r.VerifyV1(secret, cms.Policy{Trust: policy.Trust, Time: policy.Time})
	if err != nil {
		return err
	}
	v := verifying{rendering: c.rendering, IntegrityOnly: c.IntegrityOnly, File: c.File}
	return v.answer(con, found)
}
