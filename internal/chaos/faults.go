package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/epov-signer/epov/hsm"
)

// class says which promise about recovery holds for a fault.
type class int

const (
	other   class = iota // none: the token is slow, or says no for good
	session              // one session or handle is dead
	login                // all sessions and the login with them
	device               // the token answers with errors, or is away
	module               // the module, or its process, is dead or hangs
)

// promised is the time from a fault's end to the next good signature on that token.
var promised = [...]time.Duration{
	session: time.Millisecond, login: 50 * time.Millisecond, device: time.Second, module: 2 * time.Second,
}

// fault is one way in which a token fails.
type fault struct {
	name  string
	class class
	lines func(r *rand.Rand) []string // of the shim's control file, while it lasts
	act   func(x *exercise, t *target)
	kinds []hsm.Kind // that callers may be told besides Busy, Away and Expired

	separate bool // only where the module has a process of its own
	brief    bool // lifted as soon as it was seen to strike: the next process would do the same
}

// faults are all there are. Each is met once before any is met again.
var faults = []fault{
	{name: "dead session", class: session, lines: signing(0xB3, 0xB0)},
	{name: "operation left open or lost", class: session, lines: signing(0x90, 0x91)},
	{name: "call cancelled", class: session, lines: signing(0x50)},
	{name: "stale handle", class: session, lines: code("C_SignInit", 0x60, 0x82)},
	{name: "search fails", class: device, act: killSessions, lines: code("C_FindObjectsInit", 0x05, 0x30, 0xB3)},
	{name: "login said to be lost", class: login, lines: code("C_SignInit", 0x101)},
	{name: "sessions killed", class: login, act: killSessions, lines: none},
	{name: "sessions killed, login not at once", class: device, act: killSessions, lines: always("C_Login", 0xE0)},
	{name: "device removed or in error", class: device, lines: signing(0x30, 0x32)},
	{name: "token not present or not recognised", class: device, lines: signing(0xE0, 0xE1)},
	{name: "everything fails with a device error", class: device, lines: always("*", 0x30)},
	{name: "general error", class: device, lines: signing(0x05, 0x06), kinds: []hsm.Kind{hsm.Internal}},
	{name: "vendor's code", class: other, lines: signing(0x80000019), kinds: []hsm.Kind{hsm.Internal}},
	{name: "mechanism refused", class: other, lines: code("C_SignInit", 0x70), kinds: []hsm.Kind{hsm.Config}},
	{name: "key may not sign", class: other, lines: code("C_SignInit", 0x63, 0x68), kinds: []hsm.Kind{hsm.KeyUnusable}},
	{name: "data refused", class: other, lines: code("C_Sign", 0x20, 0x21, 0x07), kinds: []hsm.Kind{hsm.Config}},
	{name: "out of memory", class: other, lines: signing(0x31, 0x02)},
	{name: "session refused", class: device, act: killSessions, lines: code("C_OpenSession", 0x30, 0x05, 0x02)},
	{name: "sessions run out", class: other, act: killSessions, lines: func(r *rand.Rand) []string {
		return []string{fmt.Sprint("sessions ", 2+r.IntN(3))}
	}},
	{name: "token does not say what it is", class: device, act: killSessions, lines: code("C_GetTokenInfo", 0x05, 0x30, 0xE0)},
	{name: "slots not listed", class: device, act: killSessions, lines: code("C_GetSlotList", 0x05, 0x06, 0x30)},
	{name: "session cannot be closed", class: session, lines: func(r *rand.Rand) []string {
		return append(code("C_CloseSession", 0xB3, 0x05, 0x30)(r), "call C_Sign every=7 return=0xB3")
	}},
	{name: "unplugged", class: device, lines: func(*rand.Rand) []string { return []string{"unplug"} }},
	{name: "module finalised", class: module, lines: func(r *rand.Rand) []string {
		return []string{"call C_SignInit times=1 return=0x190"}
	}},
	{name: "module finalised, and not to be started at once", class: module, lines: func(r *rand.Rand) []string {
		return []string{"call C_Sign times=1 return=0x190", fmt.Sprintf("call C_Initialize times=%d return=0x05", 1+r.IntN(3))}
	}},
	{name: "slow, even times", class: other, lines: func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("call C_Sign delay=1ms..%dms", 2+r.IntN(15))}
	}},
	{name: "slow, long tail", class: other, lines: func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("call C_Sign delay=exp:%dms", 1+r.IntN(10))}
	}},
	{name: "one call at a time", class: other, lines: func(r *rand.Rand) []string {
		return []string{"serial", fmt.Sprintf("call C_Sign delay=%dms", 1+r.IntN(5))}
	}},
	{name: "corrupted signature", class: other, act: nil, kinds: []hsm.Kind{hsm.WrongSignature}, lines: func(r *rand.Rand) []string {
		how := []string{"flip", "swap", "reverse", "halves", "zero"}
		return []string{fmt.Sprintf("call C_Sign at=%d corrupt=%s", 1+r.IntN(20), how[r.IntN(len(how))])}
	}},
	{name: "a call hangs", class: module, brief: true, lines: func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("call C_Sign at=%d hang", 1+r.IntN(10))}
	}},
	{name: "the key's search hangs", class: module, brief: true, act: killSessions, lines: func(r *rand.Rand) []string {
		return []string{"call C_FindObjects at=1 hang"}
	}},
	{name: "abort", class: module, separate: true, brief: true, lines: crash("abort")},
	{name: "segmentation fault", class: module, separate: true, brief: true, lines: crash("segv")},
	{name: "killed in a call", class: module, separate: true, brief: true, lines: crash("kill")},
	{name: "crash while a session is opened", class: module, separate: true, brief: true, act: killSessions,
		lines: func(*rand.Rand) []string { return []string{"call C_OpenSession at=1 segv"} }},
	{name: "process killed", class: module, separate: true, brief: true, lines: none, act: signalWorker(killed)},
	{name: "process stopped", class: module, separate: true, brief: true, lines: none, act: signalWorker(stopped)},
}

func none(*rand.Rand) []string { return nil }

// code gives one of some return codes of a function, in one of the shim's ways.
func code(function string, codes ...int) func(*rand.Rand) []string {
	return func(r *rand.Rand) []string {
		when := []string{
			fmt.Sprintf("at=%d", 1+r.IntN(10)), fmt.Sprintf("times=%d", 1+r.IntN(4)),
			fmt.Sprintf("every=%d", 3+r.IntN(20)), fmt.Sprintf("chance=%.2f", 0.02+0.5*r.Float64()), "from=1",
		}
		return []string{fmt.Sprintf("call %s %s return=%#x", function, when[r.IntN(len(when))], codes[r.IntN(len(codes))])}
	}
}

// signing is code for either of the two calls of a signature.
func signing(codes ...int) func(*rand.Rand) []string {
	return func(r *rand.Rand) []string { return code([]string{"C_SignInit", "C_Sign"}[r.IntN(2)], codes...)(r) }
}

// always gives a return code until the fault ends.
func always(function string, c int) func(*rand.Rand) []string {
	return func(*rand.Rand) []string { return []string{fmt.Sprintf("call %s return=%#x", function, c)} }
}

func crash(signal string) func(*rand.Rand) []string {
	return func(r *rand.Rand) []string {
		return []string{fmt.Sprintf("call C_Sign at=%d %s", 1+r.IntN(20), signal)}
	}
}

func killSessions(_ *exercise, t *target) { t.KillSessions() }
