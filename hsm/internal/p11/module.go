package p11

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// module binds Module to a library: through miekg/pkcs11, and directly where that costs too much or leaves PINs behind.
type module struct {
	ctx    *pkcs11.Ctx
	direct direct
}

func code(err error) error {
	if e, ok := errors.AsType[pkcs11.Error](err); ok {
		return Error(e)
	}
	return err
}

func mechanism(kind uint) []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(kind, nil)}
}

func (m module) Slots() ([]uint, error) {
	slots, err := m.ctx.GetSlotList(true)
	return slots, code(err)
}

func (m module) TokenInfo(slot uint) (TokenInfo, error) {
	i, err := m.ctx.GetTokenInfo(slot)
	if err != nil {
		return TokenInfo{}, code(err)
	}
	info := TokenInfo{
		Label: i.Label, Serial: i.SerialNumber, Manufacturer: i.ManufacturerID, Model: i.Model,
		Firmware: version(i.FirmwareVersion), Flags: i.Flags, MinPIN: i.MinPinLen, MaxPIN: i.MaxPinLen,
	}
	if i.MaxSessionCount != unavailable {
		info.MaxSessions = i.MaxSessionCount
	}
	if i.Flags&FlagClock != 0 {
		info.Clock = i.UTCTime
	}
	if l, err := m.ctx.GetInfo(); err == nil { // only describes
		info.Library = LibraryInfo{
			Manufacturer: l.ManufacturerID, Description: l.LibraryDescription,
			Version: version(l.LibraryVersion), Interface: version(l.CryptokiVersion),
		}
	}
	return info, nil
}

// unavailable is CK_UNAVAILABLE_INFORMATION.
const unavailable = ^uint(0)

func version(v pkcs11.Version) string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (m module) Mechanisms(slot uint) ([]uint, error) {
	list, err := m.ctx.GetMechanismList(slot)
	kinds := make([]uint, len(list))
	for i, each := range list {
		kinds[i] = each.Mechanism
	}
	return kinds, code(err)
}

func (m module) InitToken(slot uint, soPIN, label string) error {
	return code(m.ctx.InitToken(slot, soPIN, label))
}

func (m module) InitPIN(s Session, pin string) error { return code(m.ctx.InitPIN(s, pin)) }

func (m module) SetPIN(s Session, old, new string) error { return code(m.ctx.SetPIN(s, old, new)) }

func (m module) OpenSession(slot uint, readWrite bool) (Session, error) {
	flags := uint(pkcs11.CKF_SERIAL_SESSION)
	if readWrite {
		flags |= pkcs11.CKF_RW_SESSION
	}
	s, err := m.ctx.OpenSession(slot, flags)
	return s, code(err)
}

func (m module) CloseSession(s Session) error { return code(m.ctx.CloseSession(s)) }

func (m module) LoggedIn(s Session) (bool, error) {
	i, err := m.ctx.GetSessionInfo(s)
	return err == nil && (i.State == pkcs11.CKS_RO_USER_FUNCTIONS || i.State == pkcs11.CKS_RW_USER_FUNCTIONS), code(err)
}

func (m module) Login(s Session, user uint, pin string) error { return m.direct.login(s, user, pin) }

func (m module) Logout(s Session) error { return code(m.ctx.Logout(s)) }

func (m module) Find(s Session, template []*Attribute, limit int) ([]Object, error) {
	if err := m.ctx.FindObjectsInit(s, template); err != nil {
		return nil, code(err)
	}
	var found []Object
	var failed error
	// A module may return fewer than it was asked for; only an empty answer ends the search.
	for len(found) < limit {
		some, _, err := m.ctx.FindObjects(s, limit-len(found))
		if err != nil {
			failed = err
			break
		}
		if len(some) == 0 {
			break
		}
		found = append(found, some...)
	}
	// A search left open blocks the session with CKR_OPERATION_ACTIVE.
	if err := m.ctx.FindObjectsFinal(s); failed == nil {
		failed = err
	}
	return found, code(failed)
}

func (m module) Attribute(s Session, o Object, kind uint) ([]byte, error) {
	got, err := m.ctx.GetAttributeValue(s, o, []*Attribute{Attr(kind, nil)})
	if err != nil {
		return nil, code(err)
	}
	if len(got) != 1 {
		return nil, AttributeTypeInvalid
	}
	return got[0].Value, nil
}

func (m module) CreateObject(s Session, template []*Attribute) (Object, error) {
	o, err := m.ctx.CreateObject(s, template)
	return o, code(err)
}

func (m module) DestroyObject(s Session, o Object) error { return code(m.ctx.DestroyObject(s, o)) }

func (m module) GenerateKeyPair(s Session, kind uint, public, private []*Attribute) (Object, Object, error) {
	pub, priv, err := m.ctx.GenerateKeyPair(s, mechanism(kind), public, private)
	return pub, priv, code(err)
}

func (m module) Sign(dst []byte, s Session, kind uint, key Object, data []byte) ([]byte, error) {
	return m.direct.sign(dst, s, kind, key, data)
}

func (m module) SignInit(s Session, kind uint, key Object) error {
	return m.direct.signInit(s, kind, key)
}

func (m module) SignFinal(dst []byte, s Session, data []byte) ([]byte, error) {
	return m.direct.signFinal(dst, s, data)
}
