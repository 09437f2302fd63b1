package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
	"google.golang.org/grpc"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/softhsm"
)

// The floor is an echo that does besides what no service that signs can leave out, and nothing else: it tells how much of what
// is asked of the service is within reach.

// leastWork is that of a signature without its token: the document is read, canonicalized and hashed once, and what the token
// made is verified once, with a prepared key.
func leastWork() func(document []byte) error {
	private, err := gost.GenerateKey(nil, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
	must(err)
	digest := make([]byte, gost.Streebog256.Size)
	signature, err := private.Sign(nil, digest, nil)
	must(err)
	key := gost.Prepare(private.Public().(*gost.PublicKey))
	chain := []canon.Transform{{URI: canon.ExclusiveURI}}
	return func(document []byte) error {
		h := gost.Streebog256.New()
		if err := canon.Apply(h, document, canon.Node{Whole: true}, chain, xmltext.Limits{}); err != nil {
			return err
		}
		h.Sum(nil)
		return key.Verify(digest, signature)
	}
}

// tokenOfEcho says in the environment which token an echo calls: module, label and PIN, a line each.
const tokenOfEcho = "EPOV_BENCH_ECHO_TOKEN"

// tokenCall is C_SignInit and C_Sign on one of as many sessions as the service gets; it refuses when there is no token.
func tokenCall() func([]byte) error {
	token := strings.Split(os.Getenv(tokenOfEcho), "\n")
	if len(token) != 3 {
		return func([]byte) error { return errors.New("this echo has no token") }
	}
	ctx := pkcs11.New(token[0])
	must(ctx.Initialize())
	slot := slotOf(ctx, token[1])
	free := make(chan pkcs11.SessionHandle, tokenSessions())
	for range cap(free) {
		s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		must(err)
		if len(free) == 0 {
			must(ctx.Login(s, pkcs11.CKU_USER, token[2]))
		}
		free <- s
	}
	s := <-free
	must(ctx.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY)}))
	found, _, err := ctx.FindObjects(s, 1)
	must(err)
	must(ctx.FindObjectsFinal(s))
	free <- s
	mechanism, digest := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_GOSTR3410, nil)}, make([]byte, 32)
	return func([]byte) error {
		s := <-free
		defer func() { free <- s }()
		if err := ctx.SignInit(s, mechanism, found[0]); err != nil {
			return err
		}
		_, err := ctx.Sign(s, digest)
		return err
	}
}

func slotOf(ctx *pkcs11.Ctx, label string) uint {
	slots, err := ctx.GetSlotList(true)
	must(err)
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		must(err)
		if strings.TrimRight(info.Label, " ") == label {
			return slot
		}
	}
	must(errors.New("the token is not there"))
	return 0
}

// tokenSessions is how many sessions of SoftHSM each side has.
func tokenSessions() int { return 2 * runtime.GOMAXPROCS(0) }

// tokenEcho starts an echo that calls the token for each message, and gives what runs it for a turn: messages that come back in
// a second, over two connections and as many streams as there are sessions.
func (b *serviceBench) tokenEcho(t *softhsm.Token, payload []byte) (run func() float64, end func()) {
	peer := startEcho(b, b.site, tokenOfEcho+"="+t.Module+"\n"+t.Label+"\n"+t.PIN, "SOFTHSM2_CONF="+t.Conf)
	clients := []*client.Client{b.client(peer.address), b.client(peer.address)}
	once := func(d time.Duration) float64 {
		var group sync.WaitGroup
		var sum atomic.Int64
		begun := time.Now()
		for i := range tokenSessions() {
			group.Go(func() {
				var conn grpc.ClientConnInterface = clients[i%len(clients)].Conn()
				n, err := streamEcho(context.Background(), conn, "Token", payload, serviceCallers/2, d)
				must(err)
				sum.Add(int64(n))
			})
		}
		group.Wait()
		return float64(sum.Load()) / time.Since(begun).Seconds()
	}
	return func() float64 { once(turn / 8); return once(turn) }, func() {
		for _, c := range clients {
			must(c.Close())
		}
	}
}
