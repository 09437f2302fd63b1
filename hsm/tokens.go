package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// TokenInfo describes a token.
type TokenInfo struct {
	Slot                               uint // for the eye only: it may be another at the next start
	Label, Serial, Manufacturer, Model string
	Firmware                           string  // "2.6"
	Library, LibraryVersion            string  // manufacturer and version of the module
	Vendor                             *Vendor // the profile that fits; never nil

	Initialised, UserPINSet             bool
	PINCountLow, PINFinalTry, PINLocked bool

	GOST256, GOST512, ECDSA, RSA bool // can sign with
}

// ListTokens lists the tokens a module shows, uninitialised ones too, without logging in. Tokens that do not answer are
// left out.
func ListTokens(module string) ([]TokenInfo, error) {
	m, release, err := p11.Load(module)
	if err != nil {
		return nil, &Error{Kind: Config, Op: "load the module", Err: err}
	}
	found, err := tokens(m)
	if err = errors.Join(err, release()); err != nil {
		return nil, &Error{Kind: classify(err).kind, Op: "list tokens", Err: err}
	}
	infos := make([]TokenInfo, len(found))
	for i, f := range found {
		infos[i] = f.TokenInfo
	}
	return infos, nil
}

// FindToken looks a token up by label, serial or both, without logging in. Several that fit are an error of kind Ambiguous.
func FindToken(module, label, serial string) (TokenInfo, error) {
	m, release, err := p11.Load(module)
	if err != nil {
		return TokenInfo{}, &Error{Kind: Config, Op: "load the module", Err: err}
	}
	found, err := findToken(m, label, serial)
	if err = errors.Join(err, release()); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return TokenInfo{}, e
		}
		return TokenInfo{}, &Error{Kind: classify(err).kind, Op: "find the token", Err: err}
	}
	return found.TokenInfo, nil
}

func tokens(m p11.Module) ([]foundToken, error) {
	slots, err := m.Slots()
	if err != nil {
		return nil, err
	}
	var found []foundToken
	for _, slot := range slots {
		raw, err := m.TokenInfo(slot)
		if err != nil {
			continue // a slot of another device; one that does not answer must not hide the rest
		}
		mechanisms, err := m.Mechanisms(slot)
		if err != nil {
			mechanisms = nil
		}
		can := func(mechanism uint) bool { return slices.Contains(mechanisms, mechanism) }
		has := func(flag uint) bool { return raw.Flags&flag != 0 }
		found = append(found, foundToken{raw: raw, TokenInfo: TokenInfo{
			Slot: slot, Label: raw.Label, Serial: raw.Serial, Manufacturer: raw.Manufacturer, Model: raw.Model,
			Firmware: raw.Firmware, Library: raw.Library.Manufacturer, LibraryVersion: raw.Library.Version, Vendor: vendorOf(raw),
			Initialised: has(p11.FlagTokenInitialised), UserPINSet: has(p11.FlagUserPINSet),
			PINCountLow: has(p11.FlagPINCountLow), PINFinalTry: has(p11.FlagPINFinalTry), PINLocked: has(p11.FlagPINLocked),
			GOST256: can(p11.MechGOST), GOST512: can(p11.MechGOST512), ECDSA: can(p11.MechECDSA), RSA: can(p11.MechRSA),
		}})
	}
	return found, nil
}

// InitOptions says how to initialise a token.
type InitOptions struct {
	Label          string
	Serial         string // which token; with neither Serial nor Slot: the only uninitialised one
	Slot           *uint
	SOPIN, UserPIN PIN
	Erase          bool // an initialised token is refused without it: its keys are lost

	// StateDir remembers that the security officer's PIN was refused; needed to erase a token.
	StateDir string
}

// InitToken initialises a token and sets its user PIN. A label that another token of the module has is refused.
func InitToken(module string, o InitOptions) (TokenInfo, error) {
	m, release, err := p11.Load(module)
	if err != nil {
		return TokenInfo{}, &Error{Kind: Config, Op: "load the module", Err: err}
	}
	info, err := initToken(m, o)
	if err = errors.Join(err, release()); err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return TokenInfo{}, e
		}
		return TokenInfo{}, &Error{Kind: classify(err).kind, Token: o.Label, Op: "initialise the token", Err: err}
	}
	return info, nil
}

func initToken(m p11.Module, o InitOptions) (TokenInfo, error) {
	refuse := func(kind Kind, text string) (TokenInfo, error) {
		return TokenInfo{}, &Error{Kind: kind, Token: o.Label, Op: "initialise the token", Err: errors.New(text)}
	}
	if o.Label == "" || len(o.Label) > 32 {
		return refuse(Invalid, "a label has 1 to 32 octets")
	}
	if o.SOPIN.Len() == 0 || o.UserPIN.Len() == 0 {
		return refuse(Invalid, "a PIN is empty")
	}
	all, err := tokens(m)
	if err != nil {
		return TokenInfo{}, err
	}
	var fitting []foundToken
	for _, t := range all {
		switch {
		case o.Slot != nil && t.Slot != *o.Slot, o.Serial != "" && t.Serial != o.Serial:
		case o.Slot == nil && o.Serial == "" && t.Initialised:
		default:
			fitting = append(fitting, t)
		}
	}
	if len(fitting) == 0 {
		return refuse(Away, "there is no such token")
	}
	if len(fitting) > 1 {
		return refuse(Ambiguous, "several tokens could be meant; give the serial or the slot")
	}
	chosen := fitting[0]
	if chosen.Initialised && !o.Erase {
		return refuse(Exists, "the token is initialised; its keys would be lost")
	}
	if slices.ContainsFunc(all, func(t foundToken) bool {
		return t.Initialised && t.Label == o.Label && t.Slot != chosen.Slot
	}) {
		return refuse(Exists, "another token has this label")
	}
	// Whatever is wrong with a PIN is found out before the token has been erased.
	if raw := chosen.raw; !pin.Fits(raw, o.UserPIN) || !pin.Fits(raw, o.SOPIN) {
		return refuse(Invalid, fmt.Sprintf("a PIN's length is outside the token's %d to %d", raw.MinPIN, raw.MaxPIN))
	}
	if chosen.Vendor.isFactory(o.UserPIN) {
		return refuse(Invalid, "the user PIN is the one that such tokens leave the factory with")
	}
	if chosen.Initialised {
		err = erase(m, chosen, o)
	} else { // the PIN is set, not tried; an empty token may show flags, and means nothing by them
		err = o.SOPIN.Use(func(so string) error { return m.InitToken(chosen.Slot, so, o.Label) })
	}
	if err != nil {
		return TokenInfo{}, err
	}
	// The slot may have another number now.
	found, err := findToken(m, o.Label, "")
	if err != nil {
		return TokenInfo{}, err
	}
	s, err := m.OpenSession(found.Slot, true)
	if err != nil {
		return TokenInfo{}, err
	}
	defer func() { _ = m.CloseSession(s) }()
	if err := o.SOPIN.Use(func(so string) error { return m.Login(s, p11.SecurityOfficer, so) }); err != nil {
		return TokenInfo{}, err
	}
	err = o.UserPIN.Use(func(user string) error { return m.InitPIN(s, user) })
	if err = errors.Join(err, m.Logout(s)); err != nil {
		return TokenInfo{}, err
	}
	if found, err = findToken(m, o.Label, ""); err != nil {
		return TokenInfo{}, err
	}
	return found.TokenInfo, nil
}

// erase initialises a token anew, under the rules for trying a PIN.
func erase(m p11.Module, t foundToken, o InitOptions) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // for others at the token's record
	defer cancel()
	var keeper pin.Keeper
	defer keeper.Close()
	err := keeper.Erase(ctx, m, t.Slot, pin.Login{Serial: t.Serial, StateDir: o.StateDir, Source: PINValue(o.SOPIN)}, o.Label)
	if e, ok := errors.AsType[*pin.Error](err); ok {
		named := pinError(e)
		named.Token = o.Label
		return named
	}
	return err
}
