package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
)

type signCmd struct {
	SMEV3 signSMEV3Cmd `cmd:"" name:"smev3" help:"Sign a SMEV 3 message: the caller's signature (EP-OV), or PersonalSignature."`
	SMEV2 signSMEV2Cmd `cmd:"" name:"smev2" help:"Sign a SMEV 2 message: WS-Security over its Body (EP-OV), or AppData (EP-SP)."`
	XML   signXMLCmd   `cmd:"" name:"xml" help:"Sign an XML document with plain XMLDSig, XAdES-BES or XAdES-T."`
	CMS   signCMSCmd   `cmd:"" name:"cms" help:"Sign any file with CMS (PKCS#7), CAdES-BES or CAdES-T."`

	Countersign signCountersignCmd `cmd:"" help:"Countersign the signature of a CMS message."`
	Attachment  signAttachmentCmd  `cmd:"" help:"Sign an attachment of SMEV 3: print Hash and SignaturePKCS7 of its RefAttachmentHeader."`
}

// signing are the flags that all kinds share.
type signing struct {
	connection
	Key  string    `placeholder:"NAME" help:"Key, such as keys/EXMP01/ov or keys/EXMP01/ov/versions/1."`
	Out  string    `short:"o" placeholder:"FILE" help:"Where to write; default: standard output."`
	Time time.Time `placeholder:"RFC3339" help:"Signing time to claim, where the form states one; default: now."`
	ID   string    `name:"request-id" placeholder:"ID" help:"Repeated with the same ID the same request gets the same signature, not a second one."`
	// Receipts are of the daemon's audit log.
	Receipt string `placeholder:"FILE" help:"Ask for a receipt of the signature, and write it there; see epov audit receipt verify."`
	File    string `arg:"" help:"What to sign; - is standard input."`
}

// keepReceipt writes the receipt that was asked for.
func (s *signing) keepReceipt(con *console, act *pb.Act) error {
	switch {
	case s.Receipt == "":
		return nil
	case len(act.GetReceipt()) > 0:
		return con.write(s.Receipt, act.GetReceipt(), false)
	}
	return fmt.Errorf("the message is signed, but its receipt is not ready: it is record %d of the audit log", act.GetRecord())
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
	return about(s.File, s.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		key, err := cfg.signingKey(s.Key)
		if err != nil {
			return err
		}
		answer, err := service.SignXML(ctx, &pb.SignXmlRequest{
			Key: key, Profile: profile, Document: doc, Target: target, SigningTime: s.time(), RequestId: s.ID, Receipt: s.Receipt != "",
		})
		if err != nil {
			return err
		}
		if err := con.write(s.Out, answer.GetDocument(), false); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return s.keepReceipt(con, answer.GetAct())
	}))
}

func algorithmByName(name string) *gost.Algorithm {
	for _, a := range gost.Algorithms {
		if a.Name == name {
			return a
		}
	}
	return nil
}
