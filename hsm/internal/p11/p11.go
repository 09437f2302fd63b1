// Package p11 is the part of PKCS#11 that hsm uses: a narrow interface, its binding to a real module, and a scripted fake.
package p11

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// Handles of a module. They mean nothing after C_Finalize.
type (
	Session = pkcs11.SessionHandle
	Object  = pkcs11.ObjectHandle
)

// Attribute is one CK_ATTRIBUTE with its value as octets, integers in the machine's order.
type Attribute = pkcs11.Attribute

// Attr makes an attribute of a bool, an unsigned integer, a string or octets.
func Attr(kind uint, value any) *Attribute { return pkcs11.NewAttribute(kind, value) }

// TokenInfo is what C_GetTokenInfo tells, strings without their padding.
type TokenInfo struct {
	Label, Serial, Manufacturer, Model string
	Firmware                           string // "2.6"
	Flags                              uint
	MinPIN, MaxPIN                     uint
	MaxSessions                        uint   // 0: no limit, or none told
	Clock                              string // YYYYMMDDhhmmss00 with FlagClock, else empty

	Library LibraryInfo
}

// LibraryInfo is what C_GetInfo tells; empty where the module does not.
type LibraryInfo struct {
	Manufacturer, Description string
	Version, Interface        string // "2.19"
}

// Module is an initialised PKCS#11 library: just the calls in use. Errors are of type Error. Safe for concurrent use, with
// each session used by one goroutine at a time.
type Module interface {
	Slots() ([]uint, error) // those with a token
	TokenInfo(slot uint) (TokenInfo, error)
	Mechanisms(slot uint) ([]uint, error)
	InitToken(slot uint, soPIN, label string) error
	InitPIN(s Session, pin string) error
	SetPIN(s Session, old, new string) error // the session is a read-write one

	OpenSession(slot uint, readWrite bool) (Session, error)
	CloseSession(s Session) error
	LoggedIn(s Session) (bool, error) // as the user
	Login(s Session, user uint, pin string) error
	Logout(s Session) error

	// Find returns at most limit objects; the search is closed whatever happens.
	Find(s Session, template []*Attribute, limit int) ([]Object, error)
	Attribute(s Session, o Object, kind uint) ([]byte, error)
	CreateObject(s Session, template []*Attribute) (Object, error)
	DestroyObject(s Session, o Object) error
	GenerateKeyPair(s Session, mechanism uint, public, private []*Attribute) (pub, priv Object, err error)

	// Sign is C_SignInit and C_Sign, without a mechanism parameter. It appends the signature, at most 128 octets, to dst; with
	// room for them in dst the binding allocates nothing.
	Sign(dst []byte, s Session, mechanism uint, key Object, data []byte) ([]byte, error)
}

// Library is a Module in this process. It makes a signature in two steps as well: a key with CKA_ALWAYS_AUTHENTICATE wants a login
// as ContextSpecific between them (PKCS#11 2.40, section 5.6, C_Login).
type Library interface {
	Module
	SignInit(s Session, mechanism uint, key Object) error
	// SignFinal is C_Sign. What it gives is as from Sign.
	SignFinal(dst []byte, s Session, data []byte) ([]byte, error)
}

// Error is a CK_RV other than CKR_OK.
type Error uint

func (e Error) Error() string {
	if e >= VendorDefined {
		return fmt.Sprintf("vendor's return code 0x%X", uint(e))
	}
	return pkcs11.Error(e).Error()
}

// ErrLost is what a call gives when the module's process went away before it returned: whether the module has done what
// was asked is unknown. Every handle of it is void.
var ErrLost = errors.New("the module is gone")

// Number reads a CK_ULONG as this machine lays it out.
func Number(value []byte) (uint, error) {
	switch len(value) {
	case 8:
		return uint(binary.NativeEndian.Uint64(value)), nil
	case 4:
		return uint(binary.NativeEndian.Uint32(value)), nil
	}
	return 0, fmt.Errorf("a number of %d octets", len(value))
}
