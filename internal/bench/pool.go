package main

import (
	"context"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// signing makes one signature.
type signing func(context.Context) error

// pool is crypto11 with its pool of sessions on a token of its own. It knows no GOST: its key is of ECDSA on P-256.
type pool struct {
	*crypto11.Context
	token *softhsm.Faulty
	sign  signing
}

// openPool gives the pool as many sessions; wait is how long it lets a caller wait for one, 0: for ever.
func openPool(tb *oracle.Program, sessions int, wait time.Duration) *pool {
	p := &pool{token: softhsm.NewFaulty(tb)}
	var err error
	p.Context, err = crypto11.Configure(&crypto11.Config{
		Path: p.token.Module, TokenSerial: p.token.Serial, Pin: p.token.PIN, PoolWaitTimeout: wait,
		MaxSessions: sessions + 1, // one keeps the login
	})
	must(err)
	key, err := p.GenerateECDSAKeyPair([]byte("key"), elliptic.P256())
	must(err)
	digest := make([]byte, 32)
	rand.Read(digest)
	p.sign = func(context.Context) error {
		_, err := key.Sign(rand.Reader, digest, crypto.SHA256)
		return err
	}
	return p
}

// comparePools sets our scheduler beside crypto11's pool: what a Go program has for this task. As crypto11 has no GOST the keys differ;
// so throughput is that of each over a loop without a pool and with the same key, and a token as slow as hardware takes the same time
// for either.
func comparePools(tb *oracle.Program, rounds int) {
	sessions := 2 * runtime.GOMAXPROCS(0)
	theirs := openPool(tb, sessions, 0)
	mine := softhsm.NewFaulty(tb)
	generate(tb, mine.Token)
	ours := startPlant(tb, mine.Token, hsmKey, hsm.TokenConfig{Isolation: hsm.InProcess, Sessions: sessions}, nil)
	bareGOST, endGOST := bareLoops(mine.Token, sessions, pkcs11.CKM_GOSTR3410, pkcs11.CKK_GOSTR3410)
	bareECDSA, endECDSA := bareLoops(theirs.token.Token, sessions, pkcs11.CKM_ECDSA, pkcs11.CKK_ECDSA)
	var a, b, bareA, bareB []float64
	for range 2 * rounds {
		a, bareA = append(a, busy(ours.submit, 2*sessions, 2*slice).perSpent), append(bareA, busy(bareGOST, sessions, 2*slice).perSpent)
		b, bareB = append(b, busy(theirs.sign, 2*sessions, 2*slice).perSpent), append(bareB, busy(bareECDSA, sessions, 2*slice).perSpent)
	}
	share := func(v, bare []float64) float64 { return median(slices.Clone(v)) / median(slices.Clone(bare)) }
	fmt.Printf("ratio hsm/crypto11-throughput %.2f (of the signatures that a loop without a pool makes in the same processor time ours makes %.0f %%, "+
		"verifying each, with GOST; crypto11 %.0f %%, verifying none, with ECDSA; %d sessions, twice as many callers)\n",
		share(a, bareA)/share(b, bareB), 100*share(a, bareA), 100*share(b, bareB), sessions)
	endGOST()
	endECDSA()
	compareLoss(ours, mine, theirs)
	ours.close()
	_ = theirs.Close() // its sessions are dead
	compareSlowPools(tb, rounds)
}

// compareLoss lets all sessions die at once, as a token does that lost power for a moment, and counts the signatures made of those
// asked for then.
func compareLoss(ours *plant, mine *softhsm.Faulty, theirs *pool) {
	const asked, callers = 400, 8
	signed := func(sign signing) (n int64) {
		var good atomic.Int64
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				for range asked / callers {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					if sign(ctx) == nil {
						good.Add(1)
					}
					cancel()
				}
			})
		}
		group.Wait()
		return good.Load()
	}
	mine.KillSessions()
	a := signed(ours.submit)
	theirs.token.KillSessions()
	b := signed(theirs.sign)
	fmt.Printf("ratio hsm/crypto11-after-loss %.2f (the share that ours signs of %d asked for after all sessions died: %d; crypto11 signs %d, "+
		"for its pool takes dead sessions back and lends them again)\n", float64(a)/asked, asked, a, b)
}

// compareSlowPools has both on a token as slow as hardware: as fast as they can, and with twice as many callers as it can serve, who
// give a signature so long. crypto11 knows no deadlines; its pool is told how long to let a caller wait.
func compareSlowPools(tb *oracle.Program, rounds int) {
	delay := fmt.Sprintf("call C_Sign delay=%v", tokenTime)
	mine := softhsm.NewFaulty(tb)
	generate(tb, mine.Token)
	mine.Set(delay)
	ours := startPlant(tb, mine.Token, hsmKey, hsm.TokenConfig{Isolation: hsm.InProcess, Sessions: tokenWidth}, nil)
	defer ours.close()
	theirs := openPool(tb, tokenWidth, 0)
	theirs.token.Set(delay)
	var a, b []float64
	for range rounds {
		a, b = append(a, busy(ours.submit, 2*tokenWidth, time.Second).perSecond),
			append(b, busy(theirs.sign, 2*tokenWidth, time.Second).perSecond)
	}
	most := median(slices.Clone(b))
	fmt.Printf("ratio hsm/crypto11-slow %.3f (ours %.0f/s, crypto11 %.0f/s; a token of %v, %d sessions, twice as many callers)\n",
		median(slices.Clone(a))/most, median(slices.Clone(a)), most, tokenTime, tokenWidth)
	must(theirs.Close())
	theirs = openPool(tb, tokenWidth, callerTime-tokenTime)
	theirs.token.Set(delay)
	x, y := offer(ours.submit, 2*most, 4*time.Second, callerTime), offer(theirs.sign, 2*most, 4*time.Second, callerTime)
	fmt.Printf("ratio hsm/crypto11-overload %.2f (twice what the token can, callers that wait %v: in time ours %.0f/s, p99 %v, refused after %v; "+
		"crypto11 %.0f/s, p99 %v, refused after %v)\n", x.good/y.good, callerTime, x.good, x.p99.Round(time.Millisecond),
		x.refused.Round(10*time.Microsecond),
		y.good, y.p99.Round(time.Millisecond), y.refused.Round(time.Millisecond))
	must(theirs.Close())
}

// bareLoops signs with as many sessions as it is called at once, without a pool: a caller has a session for himself. The module is
// initialised already, and logged in to.
func bareLoops(t *softhsm.Token, sessions int, mechanism, keyType uint) (sign signing, end func()) {
	ctx := pkcs11.New(t.Module)
	slots, err := ctx.GetSlotList(true)
	must(err)
	slot := slices.IndexFunc(slots, func(s uint) bool {
		info, err := ctx.GetTokenInfo(s)
		return err == nil && info.SerialNumber == t.Serial
	})
	var list []pkcs11.SessionHandle
	free := make(chan pkcs11.SessionHandle, sessions)
	for range sessions {
		session, err := ctx.OpenSession(slots[slot], pkcs11.CKF_SERIAL_SESSION)
		must(err)
		list = append(list, session)
		free <- session
	}
	must(ctx.FindObjectsInit(list[0], []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, keyType),
	}))
	found, _, err := ctx.FindObjects(list[0], 1)
	must(err)
	must(ctx.FindObjectsFinal(list[0]))
	digest, how := make([]byte, 32), []*pkcs11.Mechanism{pkcs11.NewMechanism(mechanism, nil)}
	rand.Read(digest)
	return func(context.Context) error {
			session := <-free // never waited for
			defer func() { free <- session }()
			must(ctx.SignInit(session, how, found[0]))
			_, err := ctx.Sign(session, digest)
			return err
		}, func() {
			for _, session := range list {
				must(ctx.CloseSession(session))
			}
		}
}
