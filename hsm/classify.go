package hsm

import (
	"context"
	"errors"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// remedy is what may be done, once per request, before a return code becomes the caller's error. Whatever it is, the
// session that met the error is closed: only a session whose last call succeeded is used again.
type remedy uint8

const (
	giveUp  remedy = iota
	newOne         // once more on a fresh session
	findKey        // the key's handle is stale: find it again by its id
	pause          // the token is at its limits: wait a little
	narrow         // no further session: make do with those that are open
	logIn          // log in again, under the rules of the PIN
	reopen         // drop all sessions and handles, find the token again by its serial
	restart        // end the module and start it anew
)

// ofLane says whether the remedy is for the whole lane rather than for the one session.
func (r remedy) ofLane() bool { return r >= logIn }

var remedies = [...]string{
	giveUp: "give up", newOne: "new session", findKey: "find the key", pause: "pause", narrow: "fewer sessions",
	logIn: "log in", reopen: "reopen the slot", restart: RemedyRestart,
}

func (r remedy) String() string { return remedies[r] }

type outcome struct {
	remedy remedy
	kind   Kind
}

// outcomes classifies the return codes of PKCS#11 2.40; a Vendor may say otherwise. A code that is not listed, or a vendor's
// own, is Internal and not tried again.
var outcomes = map[p11.Error]outcome{
	p11.SessionHandleInvalid:    {newOne, Away},
	p11.SessionClosed:           {newOne, Away},
	p11.OperationActive:         {newOne, Internal},
	p11.OperationNotInitialized: {newOne, Internal},
	p11.FunctionCanceled:        {newOne, Internal},

	p11.SessionCount: {narrow, Busy},

	p11.UserNotLoggedIn: {logIn, Away},

	p11.ObjectHandleInvalid: {findKey, KeyNotFound},
	p11.KeyHandleInvalid:    {findKey, KeyNotFound},

	p11.DeviceRemoved:      {reopen, Away},
	p11.TokenNotPresent:    {reopen, Away},
	p11.TokenNotRecognized: {reopen, Away},
	p11.DeviceError:        {reopen, Away},
	p11.SlotIDInvalid:      {reopen, Away},
	p11.GeneralError:       {reopen, Internal},
	p11.FunctionFailed:     {reopen, Internal},

	p11.CryptokiNotInitialized: {restart, Away},

	p11.DeviceMemory: {pause, Busy},
	p11.HostMemory:   {pause, Busy},

	p11.PINIncorrect:          {giveUp, PINRefused},
	p11.PINInvalid:            {giveUp, PINRefused},
	p11.PINLenRange:           {giveUp, PINRefused},
	p11.PINExpired:            {giveUp, PINRefused},
	p11.PINLocked:             {giveUp, PINRefused},
	p11.UserPINNotInitialized: {giveUp, PINRefused},

	p11.MechanismInvalid:        {giveUp, Config},
	p11.MechanismParamInvalid:   {giveUp, Config},
	p11.KeyTypeInconsistent:     {giveUp, KeyUnusable},
	p11.KeyFunctionNotPermitted: {giveUp, KeyUnusable},
	p11.DataInvalid:             {giveUp, Config},
	p11.DataLenRange:            {giveUp, Config},
	p11.ArgumentsBad:            {giveUp, Config},
	p11.TemplateIncomplete:      {giveUp, Config},
	p11.TemplateInconsistent:    {giveUp, Config},
	p11.FunctionNotSupported:    {giveUp, Config},
}

func classify(err error) outcome { return (*Vendor)(nil).classify(err) }

// classify says what becomes of an error of the module's, or of this package's own; a nil Vendor goes by the standard.
func (v *Vendor) classify(err error) outcome {
	if e, ok := errors.AsType[*Error](err); ok {
		return outcome{giveUp, e.Kind}
	}
	if code, ok := errors.AsType[p11.Error](err); ok {
		if v != nil {
			if o, ok := v.outcome(code); ok {
				return o
			}
		}
		return outcomes[code]
	}
	switch {
	case errors.Is(err, p11.ErrLost):
		return outcome{restart, Away}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return outcome{giveUp, Expired}
	}
	return outcome{}
}
