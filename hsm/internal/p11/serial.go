package p11

import "sync"

// serial lets one call at a time into a module that was initialised without locks of its own: CK_C_INITIALIZE_ARGS without
// CKF_OS_LOCKING_OK says that no two threads call at once. The users of a library share the lock.
type serial struct {
	m    Library
	turn *sync.Mutex
}

func one[T any](x *serial, call func() (T, error)) (T, error) {
	x.turn.Lock()
	defer x.turn.Unlock()
	return call()
}

func (x *serial) do(call func() error) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	return call()
}

func (x *serial) Slots() ([]uint, error) { return one(x, x.m.Slots) }

func (x *serial) TokenInfo(slot uint) (TokenInfo, error) {
	return one(x, func() (TokenInfo, error) { return x.m.TokenInfo(slot) })
}

func (x *serial) Mechanisms(slot uint) ([]uint, error) {
	return one(x, func() ([]uint, error) { return x.m.Mechanisms(slot) })
}

func (x *serial) InitToken(slot uint, soPIN, label string) error {
	return x.do(func() error { return x.m.InitToken(slot, soPIN, label) })
}

func (x *serial) InitPIN(s Session, pin string) error {
	return x.do(func() error { return x.m.InitPIN(s, pin) })
}

func (x *serial) SetPIN(s Session, old, new string) error {
	return x.do(func() error { return x.m.SetPIN(s, old, new) })
}

func (x *serial) OpenSession(slot uint, readWrite bool) (Session, error) {
	return one(x, func() (Session, error) { return x.m.OpenSession(slot, readWrite) })
}

func (x *serial) CloseSession(s Session) error {
	return x.do(func() error { return x.m.CloseSession(s) })
}

func (x *serial) LoggedIn(s Session) (bool, error) {
	return one(x, func() (bool, error) { return x.m.LoggedIn(s) })
}

func (x *serial) Login(s Session, user uint, pin string) error {
	return x.do(func() error { return x.m.Login(s, user, pin) })
}

func (x *serial) Logout(s Session) error { return x.do(func() error { return x.m.Logout(s) }) }

func (x *serial) Find(s Session, template []*Attribute, limit int) ([]Object, error) {
	return one(x, func() ([]Object, error) { return x.m.Find(s, template, limit) })
}

func (x *serial) Attribute(s Session, o Object, kind uint) ([]byte, error) {
	return one(x, func() ([]byte, error) { return x.m.Attribute(s, o, kind) })
}

func (x *serial) CreateObject(s Session, template []*Attribute) (Object, error) {
	return one(x, func() (Object, error) { return x.m.CreateObject(s, template) })
}

func (x *serial) DestroyObject(s Session, o Object) error {
	return x.do(func() error { return x.m.DestroyObject(s, o) })
}

func (x *serial) GenerateKeyPair(s Session, mechanism uint, public, private []*Attribute) (pub, priv Object, err error) {
	x.turn.Lock()
	defer x.turn.Unlock()
	return x.m.GenerateKeyPair(s, mechanism, public, private)
}

func (x *serial) Sign(dst []byte, s Session, mechanism uint, key Object, data []byte) ([]byte, error) {
	x.turn.Lock()
	defer x.turn.Unlock()
	return x.m.Sign(dst, s, mechanism, key, data)
}

func (x *serial) SignInit(s Session, mechanism uint, key Object) error {
	return x.do(func() error { return x.m.SignInit(s, mechanism, key) })
}

func (x *serial) SignFinal(dst []byte, s Session, data []byte) ([]byte, error) {
	return one(x, func() ([]byte, error) { return x.m.SignFinal(dst, s, data) })
}
