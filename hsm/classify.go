package hsm

import (
	"errors"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// remedy is what may be done, once per request, before a return code becomes the caller's error. Whatever it is, the
// session that met the error is closed: only a session whose last call succeeded goes back to the pool.
type remedy int

const (
	giveUp   remedy = iota
	newOne          // once more on a fresh session
	logIn           // log in again under the token's lock, under the rules of the PIN
	findKey         // the key's handle is stale: find it again by its id
	narrower        // no further session: wait for one of those that are open
)

type outcome struct {
	remedy remedy
	kind   Kind
}

// outcomes classifies the return codes of PKCS#11 2.40. A code that is not listed, or a vendor's own, is Internal and not
// tried again.
var outcomes = map[p11.Error]outcome{
	p11.SessionHandleInvalid:    {newOne, Away},
	p11.SessionClosed:           {newOne, Away},
	p11.OperationActive:         {newOne, Internal},
	p11.OperationNotInitialized: {newOne, Internal},
	p11.FunctionCanceled:        {newOne, Internal},

	p11.SessionCount: {narrower, Busy},

	p11.UserNotLoggedIn: {logIn, Away},

	p11.ObjectHandleInvalid: {findKey, KeyNotFound},
	p11.KeyHandleInvalid:    {findKey, KeyNotFound},

	p11.DeviceRemoved:          {giveUp, Away},
	p11.TokenNotPresent:        {giveUp, Away},
	p11.TokenNotRecognized:     {giveUp, Away},
	p11.DeviceError:            {giveUp, Away},
	p11.SlotIDInvalid:          {giveUp, Away},
	p11.CryptokiNotInitialized: {giveUp, Away},

	p11.DeviceMemory: {giveUp, Busy},
	p11.HostMemory:   {giveUp, Busy},

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

func classify(err error) outcome {
	if e, ok := errors.AsType[*Error](err); ok {
		return outcome{giveUp, e.Kind}
	}
	if code, ok := errors.AsType[p11.Error](err); ok {
		return outcomes[code]
	}
	return outcome{}
}
