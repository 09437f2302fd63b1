package p11

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
)

// Fake is a token in memory with scripted faults, for the logic above the binding. It keeps the rules of PKCS#11 that this
// logic depends on: the login ends with the last session, private objects are invisible without it, handles change with it.
type Fake struct {
	// Signer computes a signature; it stands for the key of every private object.
	Signer func(data []byte) ([]byte, error)
	// Generate makes the two objects of a new pair from their templates; nil: the token makes none.
	Generate func(public, private []*Attribute) (pub, priv []*Attribute, err error)
	// Fault is asked before each call, by its name without C_; an error is returned in the call's place. It may block.
	Fault func(call string) error
	// KeyPIN confirms signatures of keys with CKA_ALWAYS_AUTHENTICATE; empty: the token's PIN does.
	KeyPIN string

	mutex    sync.Mutex
	info     TokenInfo
	pin      string
	begun    map[Session]fakeOperation
	objects  []fakeObject
	sessions map[Session]bool
	next     Session
	in       bool
	logins   int // grows with each login; part of the handles
	away     bool
	calls    map[string]int
}

type fakeObject []*Attribute

// fakeOperation is a signature that was begun.
type fakeOperation struct {
	key       Object
	confirmed bool
}

// NewFake makes a token with one slot.
func NewFake(info TokenInfo, pin string) *Fake {
	info.Flags |= FlagTokenInitialised | FlagLoginRequired
	return &Fake{info: info, pin: pin, sessions: map[Session]bool{}, calls: map[string]int{}, begun: map[Session]fakeOperation{}}
}

// Add puts an object on the token.
func (f *Fake) Add(attributes ...*Attribute) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.objects = append(f.objects, attributes)
}

// Remove takes the objects of an id off the token.
func (f *Fake) Remove(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for i, o := range f.objects {
		if string(o.value(AttrID)) == id {
			f.objects[i] = nil
		}
	}
}

// SetFlags replaces the token's flags of the user PIN.
func (f *Fake) SetFlags(flags uint) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.info.Flags = flags
}

// SetInfo changes what the token says of itself.
func (f *Fake) SetInfo(change func(*TokenInfo)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	change(&f.info)
}

// Calls counts the calls of a name.
func (f *Fake) Calls(name string) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.calls[name]
}

// Sessions counts those that are open.
func (f *Fake) Sessions() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.sessions)
}

// LogOut loses the login, as another process or a reset of the device may.
func (f *Fake) LogOut() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.in = false
}

// CloseAll loses every session and with them the login.
func (f *Fake) CloseAll() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	clear(f.sessions)
	clear(f.begun)
	f.in = false
}

// SetFault changes Fault while calls are under way.
func (f *Fake) SetFault(fault func(call string) error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.Fault = fault
}

// SetSigner changes Signer while calls are under way.
func (f *Fake) SetSigner(signer func(data []byte) ([]byte, error)) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.Signer = signer
}

// Unplug takes the token away with all of its sessions, until Plug.
func (f *Fake) Unplug() {
	f.CloseAll()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.away = true
}

// Plug brings the token back.
func (f *Fake) Plug() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.away = false
}

// Restart is what C_Finalize and C_Initialize do: handles begin anew with the numbers that others had.
func (f *Fake) Restart() {
	f.CloseAll()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.next, f.logins = 0, 0
}

// enter counts the call, runs the fault and takes the lock.
func (f *Fake) enter(call string) (leave func(), err error) {
	f.mutex.Lock()
	f.calls[call]++
	fault := f.Fault
	f.mutex.Unlock()
	if fault != nil {
		err = fault(call)
	}
	f.mutex.Lock()
	if err == nil && f.away && call != "GetSlotList" {
		err = DeviceRemoved
	}
	return f.mutex.Unlock, err
}

func (f *Fake) Slots() ([]uint, error) {
	leave, err := f.enter("GetSlotList")
	defer leave()
	if f.away {
		return nil, err
	}
	return []uint{7}, err
}

func (f *Fake) TokenInfo(uint) (TokenInfo, error) {
	leave, err := f.enter("GetTokenInfo")
	defer leave()
	return f.info, err
}

func (f *Fake) Mechanisms(uint) ([]uint, error) {
	leave, err := f.enter("GetMechanismList")
	defer leave()
	return []uint{MechGOST, MechGOSTKeyPair}, err
}

func (f *Fake) InitToken(uint, string, string) error { return FunctionNotSupported }
func (f *Fake) InitPIN(Session, string) error        { return FunctionNotSupported }

// DestroyObject leaves a gap, so that the handles of the others stay.
func (f *Fake) DestroyObject(s Session, h Object) error {
	leave, err := f.enter("DestroyObject")
	defer leave()
	if err := f.check(s, err); err != nil {
		return err
	}
	if _, ok := f.object(h); !ok {
		return ObjectHandleInvalid
	}
	f.objects[int(h)-f.logins*1000-1] = nil
	return nil
}

// GenerateKeyPair stores what Generate makes of the templates.
func (f *Fake) GenerateKeyPair(s Session, _ uint, public, private []*Attribute) (Object, Object, error) {
	leave, err := f.enter("GenerateKeyPair")
	defer leave()
	if err := f.check(s, err); err != nil {
		return 0, 0, err
	}
	if f.Generate == nil {
		return 0, 0, FunctionNotSupported
	}
	if public, private, err = f.Generate(public, private); err != nil {
		return 0, 0, err
	}
	f.objects = append(f.objects, public, private)
	n := len(f.objects)
	return f.handle(n - 2), f.handle(n - 1), nil
}

// Objects counts those on the token.
func (f *Fake) Objects() (n int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, o := range f.objects {
		if o != nil {
			n++
		}
	}
	return n
}

func (f *Fake) OpenSession(uint, bool) (Session, error) {
	leave, err := f.enter("OpenSession")
	defer leave()
	if err != nil {
		return 0, err
	}
	f.next++
	f.sessions[f.next] = true
	return f.next, nil
}

func (f *Fake) CloseSession(s Session) error {
	leave, err := f.enter("CloseSession")
	defer leave()
	if !f.sessions[s] {
		return SessionHandleInvalid
	}
	delete(f.sessions, s)
	delete(f.begun, s)
	if len(f.sessions) == 0 {
		f.in = false
	}
	return err
}

// check is the beginning of every call with a session.
func (f *Fake) check(s Session, err error) error {
	if err == nil && !f.sessions[s] {
		return SessionHandleInvalid
	}
	return err
}

func (f *Fake) LoggedIn(s Session) (bool, error) {
	leave, err := f.enter("GetSessionInfo")
	defer leave()
	return f.in, f.check(s, err)
}

func (f *Fake) Login(s Session, user uint, pin string) error {
	leave, err := f.enter("Login")
	defer leave()
	if user == ContextSpecific {
		return f.confirm(s, pin, f.check(s, err))
	}
	switch err := f.check(s, err); {
	case err != nil:
		return err
	case f.in:
		return UserAlreadyLoggedIn
	case pin != f.pin:
		return PINIncorrect
	}
	f.in = true
	f.logins++
	return nil
}

func (f *Fake) SetPIN(s Session, old, new string) error {
	leave, err := f.enter("SetPIN")
	defer leave()
	switch err := f.check(s, err); {
	case err != nil:
		return err
	case old != f.pin:
		return PINIncorrect
	}
	f.pin = strings.Clone(new) // the caller's memory is overwritten
	return nil
}

func (f *Fake) Logout(s Session) error {
	leave, err := f.enter("Logout")
	defer leave()
	f.in = false
	return f.check(s, err)
}

func (o fakeObject) value(kind uint) []byte {
	for _, a := range o {
		if a.Type == kind {
			return a.Value
		}
	}
	return nil
}

func (o fakeObject) private() bool {
	return bytes.Equal(o.value(AttrClass), Attr(AttrClass, ClassPrivateKey).Value)
}

// handle numbers objects from 1 and changes with each login.
func (f *Fake) handle(i int) Object { return Object(f.logins*1000 + i + 1) }

func (f *Fake) object(h Object) (fakeObject, bool) {
	i := int(h) - f.logins*1000 - 1
	if i < 0 || i >= len(f.objects) || f.objects[i] == nil || f.objects[i].private() && !f.in {
		return nil, false
	}
	return f.objects[i], true
}

func (f *Fake) Find(s Session, template []*Attribute, limit int) ([]Object, error) {
	leave, err := f.enter("FindObjects")
	defer leave()
	if err := f.check(s, err); err != nil {
		return nil, err
	}
	var found []Object
	for i, o := range f.objects {
		fits := o != nil && !slices.ContainsFunc(template, func(a *Attribute) bool { return !bytes.Equal(o.value(a.Type), a.Value) })
		if fits && (f.in || !o.private()) && len(found) < limit {
			found = append(found, f.handle(i))
		}
	}
	return found, nil
}

func (f *Fake) Attribute(s Session, h Object, kind uint) ([]byte, error) {
	leave, err := f.enter("GetAttributeValue")
	defer leave()
	if err := f.check(s, err); err != nil {
		return nil, err
	}
	o, ok := f.object(h)
	if !ok {
		return nil, ObjectHandleInvalid
	}
	value := o.value(kind)
	if value == nil {
		return nil, AttributeTypeInvalid
	}
	return value, nil
}

func (f *Fake) CreateObject(s Session, template []*Attribute) (Object, error) {
	leave, err := f.enter("CreateObject")
	defer leave()
	if err := f.check(s, err); err != nil {
		return 0, err
	}
	f.objects = append(f.objects, template)
	return f.handle(len(f.objects) - 1), nil
}

func (f *Fake) Sign(dst []byte, s Session, mechanism uint, key Object, data []byte) ([]byte, error) {
	if err := f.SignInit(s, mechanism, key); err != nil {
		return nil, err
	}
	return f.SignFinal(dst, s, data)
}

// confirm is a login for the operation that was begun.
func (f *Fake) confirm(s Session, pin string, err error) error {
	o, begun := f.begun[s]
	switch {
	case err != nil:
		return err
	case !f.in || !begun:
		return OperationNotInitialized
	case pin != cmp.Or(f.KeyPIN, f.pin):
		return PINIncorrect
	}
	f.begun[s] = fakeOperation{o.key, true}
	return nil
}

func (f *Fake) SignInit(s Session, mechanism uint, key Object) error {
	leave, err := f.enter("SignInit")
	defer leave()
	if err := f.check(s, err); err != nil {
		return err
	}
	if _, ok := f.object(key); !ok {
		return KeyHandleInvalid
	}
	if mechanism != MechGOST {
		return MechanismInvalid
	}
	f.begun[s] = fakeOperation{key: key}
	return nil
}

func (f *Fake) SignFinal(dst []byte, s Session, data []byte) ([]byte, error) {
	leave, err := f.enter("Sign")
	defer leave()
	if err := f.check(s, err); err != nil {
		return nil, err
	}
	o, begun := f.begun[s]
	delete(f.begun, s)
	switch object, ok := f.object(o.key); {
	case !begun:
		return nil, OperationNotInitialized
	case !ok:
		return nil, KeyHandleInvalid
	case object.always() && !o.confirmed:
		return nil, UserNotLoggedIn
	}
	signature, err := f.Signer(data)
	if err != nil {
		return nil, err
	}
	return append(dst, signature...), nil
}

func (o fakeObject) always() bool { return bytes.Equal(o.value(AttrAlwaysAuth), []byte{1}) }
