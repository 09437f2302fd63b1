package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"

	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/cms"
)

type signCMSCmd struct {
	signing
	Detached bool   `xor:"place" help:"Leave the content out (default)."`
	Attached bool   `xor:"place" help:"Put the content into the message."`
	CAdES    bool   `name:"cades" help:"CAdES-BES: bind the signer's certificate with signing-certificate-v2."`
	Stamp    bool   `name:"timestamp" help:"CAdES-T: with a time-stamp of the signature, from the authority that the daemon is configured with."`
	DER      bool   `name:"der" xor:"form" help:"Write DER (default)."`
	PEM      bool   `name:"pem" xor:"form" help:"Write PEM."`
	Digest   bool   `help:"Send the file's digest and not the file, which may then be of any size. Needs the right sign-digest."`
	Stream   bool   `help:"Send the content in a stream, whatever its size; files from 8 MiB on go so by themselves."`
	AddTo    string `placeholder:"FILE" help:"Add the signature to those of this message about the same content, which stay as they are."`

	others []byte // the message of AddTo
}

// profile is the one to ask the daemon for. Content that was not sent is attached here.
func (c *signCMSCmd) profile() string {
	form, place := "pkcs7", "-detached"
	switch {
	case c.Stamp:
		form = "cades-t"
	case c.CAdES:
		form = "cades-bes"
	}
	if c.Attached && !c.Digest {
		place = "-attached"
	}
	return form + place
}

func (c *signCMSCmd) Run(ctx context.Context, con *console) error {
	if c.Digest && c.Attached && (c.File == "-" || c.PEM || c.AddTo != "") {
		return usagef("--digest with --attached needs a file, which is read twice, and goes neither with --pem nor with --add-to")
	}
	switch {
	case c.Stream && c.Digest:
		return usagef("--digest sends no content, so there is nothing to --stream")
	case c.Stream && c.Attached && c.Stamp:
		return usagef("a message with its content and a time-stamp is not made in a stream; leave the content out, or --stream")
	}
	if err := c.readOthers(con); err != nil {
		return about(c.AddTo, err)
	}
	return about(c.File, c.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		if c.Attached && !c.PEM && c.AddTo == "" && c.streams() {
			return c.signStream(ctx, con, service, cfg)
		}
		answer, err := c.sign(ctx, con, service, cfg)
		if err != nil {
			return err
		}
		if err := c.save(con, answer.GetMessage()); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return c.keepReceipt(con, answer.GetAct())
	}))
}

func (c *signCMSCmd) sign(ctx context.Context, con *console, service *client.Client, cfg *clientConfig) (*pb.SignCmsResponse, error) {
	key, err := cfg.signingKey(c.Key)
	if err != nil {
		return nil, err
	}
	if c.streams() {
		var message bytes.Buffer
		end, err := c.stream(ctx, con, service, key, &message)
		return &pb.SignCmsResponse{
			Message: message.Bytes(), Key: end.GetKey(), CertificateFingerprint: end.GetCertificateFingerprint(), Act: end.GetAct(),
		}, err
	}
	req := &pb.SignCmsRequest{Key: key, Profile: c.profile(), SigningTime: c.time(), RequestId: c.ID, Receipt: c.Receipt != ""}
	if c.Digest {
		err = c.digest(ctx, con, service, req)
	} else {
		err = c.content(con, req)
	}
	if err != nil {
		return nil, err
	}
	return service.SignCMS(ctx, req)
}

// streamFrom is the size from which on files are sent in a stream: below it one message is quicker.
const streamFrom = 8 << 20

// streams reports whether the content goes by a stream.
func (c *signCMSCmd) streams() bool {
	if c.Stream || c.Digest || c.Attached && c.Stamp {
		return c.Stream
	}
	info, err := os.Stat(c.File)
	return c.File != "-" && err == nil && info.Mode().IsRegular() && info.Size() >= streamFrom
}

// stream has the file signed while it goes by.
func (c *signCMSCmd) stream(ctx context.Context, con *console, service *client.Client, key string, out io.Writer) (*pb.SignCmsEnd, error) {
	r, err := con.open(c.File)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	header := &pb.SignCmsHeader{Key: key, Profile: c.profile(), SigningTime: c.time(), RequestId: c.ID, Receipt: c.Receipt != ""}
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			header.Size = proto.Uint64(uint64(info.Size()))
		}
	}
	return service.SignCMSStream(ctx, header, r, out)
}

// signStream writes the message as it comes.
func (c *signCMSCmd) signStream(ctx context.Context, con *console, service *client.Client, cfg *clientConfig) error {
	key, err := cfg.signingKey(c.Key)
	if err != nil {
		return err
	}
	var end *pb.SignCmsEnd
	if err := con.writeBy(c.Out, true, func(w io.Writer) (err error) {
		end, err = c.stream(ctx, con, service, key, w)
		return err
	}); err != nil {
		return err
	}
	con.signed(end.GetKey(), end.GetCertificateFingerprint())
	return c.keepReceipt(con, end.GetAct())
}

// readOthers reads the message to add to, and holds it against the file, before anything is signed.
func (c *signCMSCmd) readOthers(con *console) error {
	if c.AddTo == "" {
		return nil
	}
	data, err := con.read(c.AddTo)
	if err != nil {
		return err
	}
	if c.others, err = unwrapCMS(c.AddTo, data); err != nil {
		return err
	}
	if _, err := cms.Dissect(c.others, cms.Limits{}, nil); err != nil || c.File == "-" {
		return err // what can be read once only, Merge looks at
	}
	f, err := con.open(c.File)
	if err != nil {
		return nil // said when it is read to be signed
	}
	defer f.Close()
	return cms.AreAbout(c.others, f)
}

// save writes the message, with others' signatures or the content where that is asked for.
func (c *signCMSCmd) save(con *console, message []byte) error {
	if c.Digest && c.Attached {
		return c.attach(con, message)
	}
	if c.AddTo != "" {
		var err error
		if message, err = cms.Merge(c.others, message); err != nil {
			return err
		}
	}
	return con.writeCMS(c.Out, message, c.PEM)
}

// attach writes the message with its content, whatever its size.
func (c *signCMSCmd) attach(con *console, message []byte) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := int64(cms.UnknownSize)
	if info.Mode().IsRegular() {
		size = info.Size()
	}
	return con.writeBy(c.Out, true, func(w io.Writer) error { return cms.Attach(w, message, f, size) })
}

func (con *console) writeCMS(name string, message []byte, armour bool) error {
	if armour {
		message = pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: message})
	}
	return con.write(name, message, !armour)
}

func (s *signing) content(con *console, req *pb.SignCmsRequest) error {
	data, err := con.read(s.File)
	req.Source = &pb.SignCmsRequest_Content{Content: data}
	return err
}

// digest hashes the file with the hash of the key's algorithm and pins the request to the key version it asked about.
func (s *signing) digest(ctx context.Context, con *console, service *client.Client, req *pb.SignCmsRequest) error {
	answer, err := service.Keys.GetKey(ctx, &pb.GetKeyRequest{Key: req.Key})
	if err != nil {
		return err
	}
	algorithm := algorithmByName(answer.GetKey().GetAlgorithm())
	if algorithm == nil {
		return errors.New("the key has an algorithm that this program does not know: " + answer.GetKey().GetAlgorithm())
	}
	r, err := con.open(s.File)
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

// signCountersignCmd takes the message as its file.
type signCountersignCmd struct {
	signing
	Signature []uint32 `placeholder:"N,..." help:"Which signature, by its number in epov verify; 2,1 is the first countersignature of SignerInfo 2. Default: the only one."`
	PEM       bool     `name:"pem" help:"Write PEM."`
}

func (c *signCountersignCmd) Run(ctx context.Context, con *console) error {
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	if data, err = unwrapCMS(c.File, data); err != nil {
		return err
	}
	return about(c.File, c.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		key, err := cfg.signingKey(c.Key)
		if err != nil {
			return err
		}
		answer, err := service.SignCMS(ctx, &pb.SignCmsRequest{
			Key: key, Profile: cms.Countersignature.Name, SigningTime: c.time(), Source: &pb.SignCmsRequest_Content{Content: data},
			Countersigned: c.Signature, RequestId: c.ID, Receipt: c.Receipt != "",
		})
		if err != nil {
			return err
		}
		if err := con.writeCMS(c.Out, answer.GetMessage(), c.PEM); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return c.keepReceipt(con, answer.GetAct())
	}))
}

// signAttachmentCmd prints what a RefAttachmentHeader of SMEV 3 says of a file.
type signAttachmentCmd struct {
	signing
	Digest bool `help:"Send the file's digest and not the file, which may then be of any size. Needs the right sign-digest."`
}

func (c *signAttachmentCmd) Run(ctx context.Context, con *console) error {
	sign := signCMSCmd{signing: c.signing, Digest: c.Digest}
	return c.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		answer, err := sign.sign(ctx, con, service, cfg)
		if err != nil {
			return err
		}
		hash, err := cms.AttachmentHash(answer.GetMessage())
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(struct {
			Hash           string
			SignaturePKCS7 string
		}{base64.StdEncoding.EncodeToString(hash), base64.StdEncoding.EncodeToString(answer.GetMessage())}, "", "  ")
		if err != nil {
			return err
		}
		if err := con.write(c.Out, append(text, '\n'), false); err != nil {
			return err
		}
		con.signed(answer.GetKey(), answer.GetCertificateFingerprint())
		return c.keepReceipt(con, answer.GetAct())
	})
}
