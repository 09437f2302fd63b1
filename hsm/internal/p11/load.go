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
)

type library struct {
	path    string
	ctx     *pkcs11.Ctx
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

// Load opens a library and initialises it unless this was done before. release must be called once, when no call of the
// module is under way.
func Load(path string) (m Module, release func() error, err error) {
	path, err = Path(path)
	if err != nil {
		return nil, nil, err
	}
	loadedMutex.Lock()
	defer loadedMutex.Unlock()
	lib, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	lib.users++
	var once sync.Once
	return module{lib.ctx}, func() (err error) {
		once.Do(func() {
			loadedMutex.Lock()
			defer loadedMutex.Unlock()
			lib.users--
			err = lib.leave()
		})
		return err
	}, nil
}

func open(path string) (*library, error) {
	if lib := loaded[path]; lib != nil {
		if lib.ctx != nil {
			return lib, nil
		}
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("%s is no PKCS#11 module that can be loaded (ldd tells which libraries it lacks)", path)
	}
	lib := loaded[path]
	if err := code(ctx.Initialize()); err != nil && !(lib != nil && err == CryptokiInitialized) {
		ctx.Destroy()
		return nil, fmt.Errorf("C_Initialize: %w", err)
	}
	if lib == nil {
		lib = &library{path: path}
		loaded[path] = lib
	}
	lib.ctx = ctx
	return lib, nil
}

// leave is called with the mutex held, after a user or a foreign owner has gone.
func (l *library) leave() error {
	if l.users > 0 {
		return nil
	}
	var errs []error
	if l.ctx != nil {
		if l.foreign == 0 && len(l.closers) == 0 {
			errs = append(errs, code(l.ctx.Finalize()))
		}
		l.ctx.Destroy()
		l.ctx = nil
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
