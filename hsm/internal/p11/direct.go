package p11

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

// What is called here of CK_FUNCTION_LIST, PKCS#11 2.40 section 3.6: two octets of version, then the functions.
typedef unsigned long word;
struct mechanism { word kind; void *parameter; word length; };
struct functions {
	unsigned char major, minor;
	word (*before_login[18])(void);
	word (*login)(word session, word user, const unsigned char *pin, word length);
	word (*before_sign[23])(void);
	word (*sign_init)(word session, const struct mechanism *mechanism, word key);
	word (*sign)(word session, const unsigned char *data, word length, unsigned char *signature, word *signature_length);
};
_Static_assert(offsetof(struct functions, login) == sizeof(void *) * (1 + 18), "C_Login is function 18");
_Static_assert(offsetof(struct functions, sign_init) == sizeof(void *) * (1 + 42), "C_SignInit is function 42");

static void *open_library(const char *path, struct functions **list, const char **problem)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		*problem = dlerror();
		return NULL;
	}
	word (*get)(struct functions **) = NULL;
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	*problem = NULL;
	if (get == NULL || get(list) != 0 || *list == NULL) {
		dlclose(library);
		return NULL;
	}
	return library;
}

static word log_in(const struct functions *f, word session, word user, const unsigned char *pin, word length)
{
	return f->login(session, user, pin, length);
}

struct signed_length { word code, length; };

static word sign_init(const struct functions *f, word session, word mechanism, word key)
{
	struct mechanism m = { mechanism, NULL, 0 };
	return f->sign_init(session, &m, key);
}

static struct signed_length sign_final(const struct functions *f, word session, const unsigned char *data, word length,
	unsigned char *signature, word room)
{
	struct signed_length r = { 0, room };
	r.code = f->sign(session, data, length, signature, &r.length);
	return r;
}

static struct signed_length sign(const struct functions *f, word session, word mechanism, word key,
	const unsigned char *data, word length, unsigned char *signature, word room)
{
	struct signed_length r = { sign_init(f, session, mechanism, key), 0 };
	return r.code == 0 ? sign_final(f, session, data, length, signature, room) : r;
}

// A module never calls back into Go: no C_OpenSession here passes a notification.
#cgo noescape sign
#cgo nocallback sign
#cgo nocallback sign_init
#cgo noescape sign_final
#cgo nocallback sign_final
#cgo noescape log_in
#cgo nocallback log_in
*/
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"
)

// MaxSignature is the most that Sign gives, in octets: r and s of 512 bits.
const MaxSignature = 128

// direct is a library's own function list, for the calls that shall cost no more than the module does, or leave no copy of
// what they pass.
type direct struct {
	library   unsafe.Pointer
	functions *C.struct_functions
}

// openDirect holds the library once more, whoever else does.
func openDirect(path string) (direct, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var functions *C.struct_functions
	var problem *C.char
	runtime.LockOSThread() // dlerror belongs to the thread
	defer runtime.UnlockOSThread()
	library := C.open_library(name, &functions, &problem)
	switch {
	case library != nil:
		return direct{library, functions}, nil
	case problem != nil:
		return direct{}, fmt.Errorf("%s cannot be loaded: %s", path, C.GoString(problem))
	}
	return direct{}, fmt.Errorf("%s is no PKCS#11 module: it gives no list of functions", path)
}

func (d direct) close() { C.dlclose(d.library) }

// login passes the PIN from where it is; no copy of it is left behind.
func (d direct) login(s Session, user uint, pin string) error {
	if rv := C.log_in(d.functions, C.word(s), C.word(user), (*C.uchar)(unsafe.StringData(pin)), C.word(len(pin))); rv != 0 {
		return Error(rv)
	}
	return nil
}

// sign makes one crossing of both calls. Nothing is allocated when dst has room.
func (d direct) sign(dst []byte, s Session, mechanism uint, key Object, data []byte) ([]byte, error) {
	dst = slices.Grow(dst, MaxSignature)
	room := dst[len(dst) : len(dst)+MaxSignature]
	r := C.sign(d.functions, C.word(s), C.word(mechanism), C.word(key), (*C.uchar)(unsafe.SliceData(data)), C.word(len(data)),
		(*C.uchar)(unsafe.SliceData(room)), MaxSignature)
	return signed(dst, r)
}

// signed is dst with what was written behind it.
func signed(dst []byte, r C.struct_signed_length) ([]byte, error) {
	switch {
	case r.code != 0:
		return nil, Error(r.code)
	case r.length > MaxSignature:
		return nil, GeneralError // it says that it wrote more than it was let
	}
	return dst[:len(dst)+int(r.length)], nil
}

func (d direct) signInit(s Session, mechanism uint, key Object) error {
	if rv := C.sign_init(d.functions, C.word(s), C.word(mechanism), C.word(key)); rv != 0 {
		return Error(rv)
	}
	return nil
}

func (d direct) signFinal(dst []byte, s Session, data []byte) ([]byte, error) {
	dst = slices.Grow(dst, MaxSignature)
	room := dst[len(dst) : len(dst)+MaxSignature]
	r := C.sign_final(d.functions, C.word(s), (*C.uchar)(unsafe.SliceData(data)), C.word(len(data)),
		(*C.uchar)(unsafe.SliceData(room)), MaxSignature)
	return signed(dst, r)
}
