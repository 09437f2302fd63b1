package main

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
)

type signCmd struct {
	SMEV3 signSMEV3Cmd `cmd:"" name:"smev3" help:"Sign a SMEV 3 message: the caller's signature (EP-OV), or PersonalSignature."`
	SMEV2 signSMEV2Cmd `cmd:"" name:"smev2" help:"Sign a SMEV 2 message: WS-Security over its Body (EP-OV), or AppData (EP-SP)."`
	XML   signXMLCmd   `cmd:"" name:"xml" help:"Sign an XML document with plain XMLDSig or XAdES-BES."`
	CMS   signCMSCmd   `cmd:"" name:"cms" help:"Sign any file with CMS (PKCS#7) or CAdES-BES."`
}

// signing are the flags that all kinds share.
type signing struct {
	connection
	Key  string    `placeholder:"NAME" help:"Key, such as keys/EXMP01/ov or keys/EXMP01/ov/versions/1."`
	Out  string    `short:"o" placeholder:"FILE" help:"Where to write; default: standard output."`
	Time time.Time `placeholder:"RFC3339" help:"Signing time to claim, where the form states one; default: now."`
	File string    `arg:"" help:"What to sign; - is standard input."`
}

func (s *signing) time() *timestamppb.Timestamp {
	if s.Time.IsZero() {
		return nil
	}
	return timestamppb.New(s.Time)
}

type signSMEV3Cmd struct {
	signing
	Personal bool `help:"Make PersonalSignature (EP-SP); sign with the caller's signature afterwards."`
}

func (c *signSMEV3Cmd) Run(ctx context.Context, con *console) error {
	profile := "smev3"
	if c.Personal {
		profile = "smev3-personal"
	}
	return c.signXML(ctx, con, profile, "")
}

type signSMEV2Cmd struct {
	signing
	Personal bool `help:"Sign AppData (EP-SP); sign with EP-OV afterwards."`
}

func (c *signSMEV2Cmd) Run(ctx context.Context, con *console) error {
	profile := "smev2"
	if c.Personal {
		profile = "smev2-sp"
	}
	return c.signXML(ctx, con, profile, "")
}

type signXMLCmd struct {
	signing
	Profile string `default:"enveloped" help:"enveloped, enveloping, detached, xades-bes, xades-t, or another profile the daemon knows."`
	Target  string `placeholder:"ID" help:"Id of the element to sign; for detached: the URI of the content."`
}

func (c *signXMLCmd) Run(ctx context.Context, con *console) error {
	return c.signXML(ctx, con, c.Profile, c.Target)
}

func (s *signing) signXML(ctx context.Context, con *console, profile, target string) error {
	doc, err := con.read(s.File)
	if err != nil {
		return err
	}
	return s.call(ctx, func(ctx context.Context, conn *grpc.ClientConn, cfg *clientConfig) error {
		key, err := cfg.signingKey(s.Key)
		if err != nil {
			return err
		}
		answer, err := pb.NewSignServiceClient(conn).SignXml(ctx, &pb.SignXmlRequest{
			Key: key, Profile: profile, Document: doc, Target: target, SigningTime: s.time(),
		})
		if err != nil {
			return err
		}
		if err := con.write(s.Out, answer.GetDocument(), false); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return nil
	})
}

type signCMSCmd struct {
	signing
	Detached bool `xor:"place" help:"Leave the content out (default)."`
	Attached bool `xor:"place" help:"Put the content into the message."`
	CAdES    bool `name:"cades" help:"CAdES-BES: bind the signer's certificate with signing-certificate-v2."`
	Stamp    bool `name:"timestamp" help:"CAdES-T: with a time-stamp of the signature, from the authority that the daemon is configured with."`
	DER      bool `name:"der" xor:"form" help:"Write DER (default)."`
	PEM      bool `name:"pem" xor:"form" help:"Write PEM."`
	Digest   bool `help:"Send the file's digest and not the file, which may then be of any size. Detached only; needs the right sign-digest."`
}

func (c *signCMSCmd) profile() string {
	form, place := "pkcs7", "-detached"
	switch {
	case c.Stamp:
		form = "cades-t"
	case c.CAdES:
		form = "cades-bes"
	}
	if c.Attached {
		place = "-attached"
	}
	return form + place
}

func (c *signCMSCmd) Run(ctx context.Context, con *console) error {
	if c.Digest && c.Attached {
		return usagef("--digest sends no content, so --attached has none to put into the message")
	}
	return c.call(ctx, func(ctx context.Context, conn *grpc.ClientConn, cfg *clientConfig) error {
		key, err := cfg.signingKey(c.Key)
		if err != nil {
			return err
		}
		req := &pb.SignCmsRequest{Key: key, Profile: c.profile(), SigningTime: c.time()}
		if c.Digest {
			err = c.digest(ctx, con, conn, req)
		} else {
			err = c.content(con, req)
		}
		if err != nil {
			return err
		}
		answer, err := pb.NewSignServiceClient(conn).SignCms(ctx, req)
		if err != nil {
			return err
		}
		message := answer.GetMessage()
		if c.PEM {
			message = pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: message})
		}
		if err := con.write(c.Out, message, !c.PEM); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return nil
	})
}

func (c *signCMSCmd) content(con *console, req *pb.SignCmsRequest) error {
	data, err := con.read(c.File)
	req.Source = &pb.SignCmsRequest_Content{Content: data}
	return err
}

// digest hashes the file with the hash of the key's algorithm and pins the request to the key version it asked about.
func (c *signCMSCmd) digest(ctx context.Context, con *console, conn *grpc.ClientConn, req *pb.SignCmsRequest) error {
	answer, err := pb.NewKeyServiceClient(conn).GetKey(ctx, &pb.GetKeyRequest{Key: req.Key})
	if err != nil {
		return err
	}
	algorithm := algorithmByName(answer.GetKey().GetAlgorithm())
	if algorithm == nil {
		return errors.New("the key has an algorithm that this program does not know: " + answer.GetKey().GetAlgorithm())
	}
	r, err := con.open(c.File)
	if err != nil {
		return err
	}
	defer r.Close()
	h := algorithm.Digest.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	req.Key = answer.GetKey().GetName()
	req.Source = &pb.SignCmsRequest_ContentDigest{ContentDigest: h.Sum(nil)}
	return nil
}

func algorithmByName(name string) *gost.Algorithm {
	for _, a := range gost.Algorithms {
		if a.Name == name {
			return a
		}
	}
	return nil
}
