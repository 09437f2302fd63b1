package p11

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/miekg/pkcs11"
)

// C_Initialize and C_Finalize act on the whole process, so each library has one owner here: the first user initialises it,
// the last finalises it. A foreign owner, another binding that does both by itself, comes first or not at all, and its
// finalising waits until the last of our users has gone.
var (
	loadedMutex sync.Mutex
	loaded      = map[string]*library{}
	unfinalised = map[string]bool{} // C_Finalize failed: the module may be at work still, with its sessions and logins
)

type library struct {
	path    string
	ctx     *pkcs11.Ctx
	direct  direct
	serial  bool // initialised without locks: one call at a time
	turn    sync.Mutex
	users   int
	foreign int
	closers []func() error // of foreign owners that left while others were at work
}

// ErrInUse says that a foreign owner came too late: the module is initialised already.
var ErrInUse = errors.New("the module is already in use in this process")

// Path is the one name of a library among several: absolute, symbolic links resolved.
func Path(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// Options says how a library is to be used.
type Options struct {
	// Serial lets one call at a time into the library, for one whose own locking is not to be trusted. A library that says
	// CKR_CANT_LOCK is treated so in any case. The first user decides.
	Serial bool
}

// Load is LoadWith without options.
func Load(path string) (m Library, release func() error, err error) { return LoadWith(path, Options{}) }

// LoadWith opens a library and initialises it unless this was done before. release must be called once, when no call of the
// module is under way.
func LoadWith(path string, o Options) (m Library, release func() error, err error) {
	path, err = Path(path)
	if err != nil {
		return nil, nil, err
	}
	loadedMutex.Lock()
	defer loadedMutex.Unlock()
	lib, err := open(path, o)
	if err != nil {
		return nil, nil, err
	}
	lib.users++
	var once sync.Once
	m = module{lib.ctx, lib.direct}
	if lib.serial {
		m = &serial{m, &lib.turn}
	}
	return m, func() (err error) {
		once.Do(func() {
			loadedMutex.Lock()
			defer loadedMutex.Unlock()
			lib.users--
			err = lib.leave()
		})
		return err
	}, nil
}

func open(path string, o Options) (*library, error) {
	if lib := loaded[path]; lib != nil {
		if lib.ctx != nil {
			return lib, nil
		}
	}
	direct, err := openDirect(path)
	if err != nil {
		return nil, err
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		direct.close()
		return nil, fmt.Errorf("%s cannot be loaded", path)
	}
	lib := loaded[path]
	serial, err := initialise(ctx, o.Serial)
	if err == CryptokiInitialized && lib == nil && unfinalised[path] && code(ctx.Finalize()) == nil {
		serial, err = initialise(ctx, o.Serial) // a new start after all
	}
	if err != nil && !((lib != nil || unfinalised[path]) && err == CryptokiInitialized) {
		ctx.Destroy()
		direct.close()
		return nil, fmt.Errorf("C_Initialize: %w", err)
	}
	if lib == nil {
		lib = &library{path: path}
		loaded[path] = lib
	}
	lib.ctx, lib.direct, lib.serial = ctx, direct, serial
	delete(unfinalised, path)
	return lib, nil
}

// initialise asks the library to lock by itself. One that cannot, or wants threads of its own for it, is told that there is
// one thread (PKCS#11 2.40 section 5.4).
func initialise(ctx *pkcs11.Ctx, alone bool) (serial bool, err error) {
	if !alone {
		err = code(ctx.Initialize())
		if err != CantLock && err != NeedToCreateThreads {
			return false, err
		}
	}
	return true, code(ctx.Initialize(pkcs11.InitializeWithFlags(0)))
}

// leave is called with the mutex held, after a user or a foreign owner has gone.
func (l *library) leave() error {
	if l.users > 0 {
		return nil
	}
	var errs []error
	if l.ctx != nil {
		if l.foreign == 0 && len(l.closers) == 0 {
			err := code(l.ctx.Finalize())
			if err != nil && err != CryptokiNotInitialized {
				unfinalised[l.path] = true
			}
			errs = append(errs, err)
		}
		l.ctx.Destroy()
		if !unfinalised[l.path] { // else what may be at work must not be unmapped
			l.direct.close()
		}
		l.ctx, l.direct = nil, direct{}
	}
	for _, closer := range l.closers {
		errs = append(errs, closer())
	}
	l.closers = nil
	if l.foreign == 0 {
		delete(loaded, l.path)
	}
	return errors.Join(errs...)
}

// Foreign runs open, by which another binding initialises the library. It fails with ErrInUse when our own users are at
// work and no foreign owner is. release runs the closer that open returned, now or when our last user leaves.
func Foreign(path string, open func() (closer func() error, err error)) (release func() error, err error) {
	path, err = Path(path)
	if err != nil {
		return nil, err
	}
	loadedMutex.Lock()
	defer loadedMutex.Unlock()
	lib := loaded[path]
	if lib != nil && lib.foreign == 0 && len(lib.closers) == 0 {
		return nil, ErrInUse
	}
	closer, err := open()
	if err != nil {
		return nil, err
	}
	if lib == nil {
		lib = &library{path: path}
		loaded[path] = lib
	}
	lib.foreign++
	var once sync.Once
	return func() (err error) {
		once.Do(func() {
			loadedMutex.Lock()
			defer loadedMutex.Unlock()
			lib.foreign--
			lib.closers = append(lib.closers, closer)
			err = lib.leave()
		})
		return err
	}, nil
}

// Preload loads a library into the process, for good, and calls nothing of it but C_GetFunctionList.
func Preload(path string) error {
	_, err := openDirect(path)
	return err
}
