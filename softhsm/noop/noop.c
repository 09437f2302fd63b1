// A PKCS#11 module that takes next to no time: a token with one GOST R 34.10-2012 key, whose signatures verify. With it the
// cost of everything around a token is measured.
//
// It signs with the nonce 1. The base point of CryptoPro-A has x = 1, so r = 1 and s = d + e mod q for the digest e: an
// addition. Such a signature tells the private number d, which stands below for all to read.

#define _GNU_SOURCE
#include "../fault/pkcs11.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// Return codes and constants beyond those of the shim, PKCS#11 2.40.
enum {
	CKR_SLOT_ID_INVALID = 0x03,
	CKR_ATTRIBUTE_SENSITIVE = 0x11,
	CKR_ATTRIBUTE_TYPE_INVALID = 0x12,
	CKR_DATA_LEN_RANGE = 0x21,
	CKR_FUNCTION_NOT_SUPPORTED = 0x54,
	CKR_KEY_HANDLE_INVALID = 0x60,
	CKR_MECHANISM_INVALID = 0x70,
	CKR_OBJECT_HANDLE_INVALID = 0x82,
	CKR_OPERATION_ACTIVE = 0x90,
	CKR_OPERATION_NOT_INITIALIZED = 0x91,
	CKR_USER_ALREADY_LOGGED_IN = 0x100,
	CKR_USER_NOT_LOGGED_IN = 0x101,
	CKR_BUFFER_TOO_SMALL = 0x150,
	CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191,

	CKM_GOSTR3410 = 0x1201,
	CKU_USER = 1,
	CKS_RO_PUBLIC_SESSION = 0,
	CKS_RW_PUBLIC_SESSION = 2,
	CKF_RW_SESSION = 2,
	CKF_TOKEN_PRESENT = 1,
	CKF_SIGN = 0x800,
	TOKEN_FLAGS = 0x40c, // login required, user PIN initialised, token initialised
};

#define PIN "12345678"
#define SLOT 1
#define MOST_SESSIONS 4096
#define SIZE 32

static const uint64_t q[4] = { 0x45841b09b761b893, 0x6c611070995ad100, 0xffffffffffffffff, 0xffffffffffffffff };
static const uint64_t d[4] = { 0xfedcba9876543210, 0x0123456789abcdef, 0x99aabbccddeeff00, 0x1122334455667788 };
// The public key d·P as CKA_VALUE has it: x, then y, each with its least significant octet first.
static const unsigned char point[2 * SIZE] = {
	0xd7, 0x45, 0xb5, 0x48, 0xe5, 0x69, 0x4e, 0x96, 0xe5, 0x91, 0x9a, 0x50, 0xc0, 0x8b, 0x75, 0xf2,
	0x94, 0x50, 0x23, 0x34, 0x43, 0x3c, 0x20, 0x09, 0x79, 0x1d, 0x77, 0x6c, 0xce, 0x90, 0xe6, 0xe2,
	0xb9, 0xaa, 0x64, 0x7c, 0x3c, 0x99, 0x35, 0x70, 0xbc, 0xb6, 0x90, 0x89, 0x64, 0x2d, 0x05, 0x94,
	0x46, 0xf9, 0x88, 0x48, 0xc0, 0x45, 0xa8, 0x35, 0x74, 0xd0, 0x91, 0xcb, 0x68, 0x90, 0xc7, 0x2d,
};

// less_q takes q off a number below 2q, whose carry beyond 256 bits is given, unless it is below q already.
static void less_q(uint64_t a[4], uint64_t carry)
{
	uint64_t r[4];
	unsigned __int128 borrow = 0;
	for (int i = 0; i < 4; i++) {
		unsigned __int128 t = (unsigned __int128)a[i] - q[i] - borrow;
		r[i] = (uint64_t)t;
		borrow = (t >> 64) & 1;
	}
	if (carry >= borrow) memcpy(a, r, sizeof r);
}

static void signature_of(const unsigned char *digest, unsigned char *out)
{
	uint64_t e[4], zero[4] = { 0 };
	memcpy(e, digest, SIZE); // the hash emits its number little-endian, as these machines have theirs
	less_q(e, 0);
	if (memcmp(e, zero, SIZE) == 0) e[0] = 1; // GOST R 34.10-2012, 6.1, step 2
	unsigned __int128 sum = 0;
	for (int i = 0; i < 4; i++) {
		sum += (unsigned __int128)e[i] + d[i];
		e[i] = (uint64_t)sum;
		sum >>= 64;
	}
	less_q(e, (uint64_t)sum);
	for (int i = 0; i < SIZE; i++) out[i] = (unsigned char)(e[3 - i / 8] >> (56 - 8 * (i % 8)));
	memset(out + SIZE, 0, SIZE - 1);
	out[2 * SIZE - 1] = 1;
}

struct session {
	_Atomic word handle; // 0: the place is free
	bool writes, signs, finds;
	word found[2], founds;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct session sessions[MOST_SESSIONS];
static word generation, live;
static atomic_bool running, user;

// A handle is the place and how many sessions there were before, so that none comes twice.
static struct session *find(word handle)
{
	struct session *s = &sessions[handle % MOST_SESSIONS];
	return handle != 0 && atomic_load_explicit(&s->handle, memory_order_relaxed) == handle ? s : NULL;
}

static void set(char *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strnlen(text, size));
}

static word initialize(void *arguments)
{
	(void)arguments;
	return atomic_exchange(&running, true) ? CKR_CRYPTOKI_ALREADY_INITIALIZED : CKR_OK;
}

static word close_all(word slot)
{
	(void)slot;
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < MOST_SESSIONS; i++) sessions[i].handle = 0;
	live = 0;
	user = false;
	pthread_mutex_unlock(&mutex);
	return CKR_OK;
}

static word finalize(void *reserved)
{
	(void)reserved;
	close_all(SLOT);
	return atomic_exchange(&running, false) ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

struct info {
	unsigned char major, minor;
	char manufacturer[32];
	word flags;
	char description[32];
	unsigned char version[2];
};

static word get_info(struct info *i)
{
	memset(i, 0, sizeof *i);
	i->major = 2;
	i->minor = 40;
	set(i->manufacturer, sizeof i->manufacturer, "epov");
	set(i->description, sizeof i->description, "takes no time");
	return CKR_OK;
}

static word slot_list(unsigned char present, word *list, word *count)
{
	(void)present;
	if (!running) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (list != NULL && *count < 1) return CKR_BUFFER_TOO_SMALL;
	if (list != NULL) list[0] = SLOT;
	*count = 1;
	return CKR_OK;
}

struct slot_info {
	char description[64], manufacturer[32];
	word flags;
	unsigned char versions[4];
};

static word slot_info(word slot, struct slot_info *i)
{
	if (slot != SLOT) return CKR_SLOT_ID_INVALID;
	memset(i, 0, sizeof *i);
	set(i->description, sizeof i->description, "noop");
	set(i->manufacturer, sizeof i->manufacturer, "epov");
	i->flags = CKF_TOKEN_PRESENT;
	return CKR_OK;
}

struct whole_token_info {
	struct token_info head;
	word most_sessions, sessions, most_writing, writing, longest_pin, shortest_pin, memory[4];
	unsigned char versions[4];
	char time[16];
};

// The serial number is the FNV-1a hash of the module's path: a copy of the module is another token.
static void serial(char out[16])
{
	Dl_info self;
	uint64_t hash = 0xcbf29ce484222325;
	if (dladdr((void *)&sessions, &self) != 0) {
		for (const char *p = self.dli_fname; *p != 0; p++) hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
	}
	for (int i = 0; i < 16; i++) out[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
}

static word token_info(word slot, struct whole_token_info *i)
{
	if (slot != SLOT) return CKR_SLOT_ID_INVALID;
	memset(i, 0, sizeof *i);
	set(i->head.label, sizeof i->head.label, "noop");
	set(i->head.manufacturer, sizeof i->head.manufacturer, "epov");
	set(i->head.model, sizeof i->head.model, "noop");
	serial(i->head.serial);
	i->head.flags = TOKEN_FLAGS;
	i->most_sessions = i->most_writing = MOST_SESSIONS;
	i->sessions = live;
	i->longest_pin = i->shortest_pin = sizeof PIN - 1;
	for (int m = 0; m < 4; m++) i->memory[m] = ~0UL; // unavailable
	return CKR_OK;
}

static word mechanism_list(word slot, word *list, word *count)
{
	if (slot != SLOT) return CKR_SLOT_ID_INVALID;
	if (list != NULL && *count < 1) return CKR_BUFFER_TOO_SMALL;
	if (list != NULL) list[0] = CKM_GOSTR3410;
	*count = 1;
	return CKR_OK;
}

static word mechanism_info(word slot, word kind, word info[3])
{
	if (slot != SLOT) return CKR_SLOT_ID_INVALID;
	if (kind != CKM_GOSTR3410) return CKR_MECHANISM_INVALID;
	info[0] = info[1] = 8 * SIZE;
	info[2] = CKF_SIGN;
	return CKR_OK;
}

static word open_session(word slot, word flags, void *application, void *notify, word *handle)
{
	(void)application;
	(void)notify;
	if (!running) return CKR_CRYPTOKI_NOT_INITIALIZED;
	if (slot != SLOT) return CKR_SLOT_ID_INVALID;
	word rv = CKR_SESSION_COUNT;
	pthread_mutex_lock(&mutex);
	for (int tries = 0; tries < MOST_SESSIONS && rv != CKR_OK; tries++) {
		if (++generation % MOST_SESSIONS == 0) continue;
		struct session *s = &sessions[generation % MOST_SESSIONS];
		if (s->handle != 0) continue;
		s->writes = (flags & CKF_RW_SESSION) != 0;
		s->signs = s->finds = false;
		*handle = s->handle = generation;
		live++;
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mutex);
	return rv;
}

static word close_session(word handle)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	pthread_mutex_lock(&mutex);
	s->handle = 0;
	if (--live == 0) user = false;
	pthread_mutex_unlock(&mutex);
	return CKR_OK;
}

static word session_info(word handle, word info[4])
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	info[0] = SLOT;
	info[1] = (s->writes ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION) + (user ? 1u : 0u); // the user's is the next
	info[2] = s->writes ? 6 : 4;
	info[3] = 0;
	return CKR_OK;
}

static word login(word handle, word who, const char *pin, word length)
{
	if (find(handle) == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (who != CKU_USER || length != sizeof PIN - 1 || memcmp(pin, PIN, length) != 0) return CKR_PIN_INCORRECT;
	return atomic_exchange(&user, true) ? CKR_USER_ALREADY_LOGGED_IN : CKR_OK;
}

static word logout(word handle)
{
	if (find(handle) == NULL) return CKR_SESSION_HANDLE_INVALID;
	return atomic_exchange(&user, false) ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
}

// The two objects: number 1 is the public key, number 2 the private one.
enum { PUBLIC = 1, PRIVATE = 2 };

static const unsigned char yes = 1, no = 0;
static const word public_class = 2, private_class = 3, gost = 0x30;
static const char id[] = "NOOP01/ov/1";
static const unsigned char params[] = { 6, 7, 0x2a, 0x85, 3, 2, 2, 0x23, 1 };           // CryptoPro-A, RFC 4357
static const unsigned char hash_params[] = { 6, 8, 0x2a, 0x85, 3, 7, 1, 1, 2, 2 };      // Streebog-256, RFC 7836

static const struct value {
	word type;
	const void *octets;
	word length;
	int objects; // which have it
} values[] = {
	{ 0x00, &public_class, sizeof(word), PUBLIC },
	{ 0x00, &private_class, sizeof(word), PRIVATE },
	{ 0x01, &yes, 1, PUBLIC | PRIVATE },                   // token
	{ 0x02, &no, 1, PUBLIC },                              // private
	{ 0x02, &yes, 1, PRIVATE },
	{ 0x03, id, sizeof id - 1, PUBLIC | PRIVATE },         // label
	{ 0x11, point, sizeof point, PUBLIC },                 // value
	{ 0x100, &gost, sizeof(word), PUBLIC | PRIVATE },      // key type
	{ 0x102, id, sizeof id - 1, PUBLIC | PRIVATE },        // id
	{ 0x103, &yes, 1, PRIVATE },                           // sensitive
	{ 0x108, &yes, 1, PRIVATE },                           // sign
	{ 0x10a, &yes, 1, PUBLIC },                            // verify
	{ 0x162, &no, 1, PRIVATE },                            // extractable
	{ 0x164, &yes, 1, PRIVATE },                           // never extractable
	{ 0x165, &yes, 1, PRIVATE },                           // always sensitive
	{ CKA_GOSTR3410_PARAMS, params, sizeof params, PUBLIC | PRIVATE },
	{ CKA_GOSTR3410_PARAMS + 1, hash_params, sizeof hash_params, PUBLIC | PRIVATE },
};

static const struct value *value(word object, word type)
{
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		if (values[i].type == type && (values[i].objects & (int)object) != 0) return &values[i];
	}
	return NULL;
}

static bool visible(word object) { return object == PUBLIC || (object == PRIVATE && user); }

static word get_attributes(word handle, word object, struct attribute *a, word count)
{
	if (find(handle) == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (!visible(object)) return CKR_OBJECT_HANDLE_INVALID;
	word rv = CKR_OK;
	for (word i = 0; i < count; i++) {
		const struct value *v = value(object, a[i].type);
		if (v == NULL) {
			a[i].length = ~0UL;
			rv = object == PRIVATE && a[i].type == 0x11 ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
		} else if (a[i].value == NULL) {
			a[i].length = v->length;
		} else if (a[i].length < v->length) {
			a[i].length = ~0UL;
			rv = CKR_BUFFER_TOO_SMALL;
		} else {
			memcpy(a[i].value, v->octets, v->length);
			a[i].length = v->length;
		}
	}
	return rv;
}

static word find_init(word handle, const struct attribute *a, word count)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (s->finds) return CKR_OPERATION_ACTIVE;
	s->finds = true;
	s->founds = 0;
	for (word object = PUBLIC; object <= PRIVATE; object++) {
		bool fits = visible(object);
		for (word i = 0; i < count && fits; i++) {
			const struct value *v = value(object, a[i].type);
			fits = v != NULL && v->length == a[i].length && memcmp(v->octets, a[i].value, v->length) == 0;
		}
		if (fits) s->found[s->founds++] = object;
	}
	return CKR_OK;
}

static word find_next(word handle, word *objects, word most, word *count)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (!s->finds) return CKR_OPERATION_NOT_INITIALIZED;
	*count = 0;
	while (*count < most && s->founds > 0) objects[(*count)++] = s->found[--s->founds];
	return CKR_OK;
}

static word find_final(word handle)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (!s->finds) return CKR_OPERATION_NOT_INITIALIZED;
	s->finds = false;
	return CKR_OK;
}

struct mechanism {
	word kind;
	void *parameter;
	word length;
};

static word sign_init(word handle, const struct mechanism *m, word key)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (s->signs) return CKR_OPERATION_ACTIVE;
	if (m->kind != CKM_GOSTR3410) return CKR_MECHANISM_INVALID;
	if (!user) return CKR_USER_NOT_LOGGED_IN;
	if (key != PRIVATE) return CKR_KEY_HANDLE_INVALID;
	s->signs = true;
	return CKR_OK;
}

static word sign(word handle, const unsigned char *data, word length, unsigned char *out, word *room)
{
	struct session *s = find(handle);
	if (s == NULL) return CKR_SESSION_HANDLE_INVALID;
	if (!s->signs) return CKR_OPERATION_NOT_INITIALIZED;
	word given = *room;
	*room = 2 * SIZE;
	if (out == NULL) return CKR_OK;
	if (given < 2 * SIZE) return CKR_BUFFER_TOO_SMALL;
	s->signs = false;
	if (length != SIZE) return CKR_DATA_LEN_RANGE;
	signature_of(data, out);
	return CKR_OK;
}

static word unsupported(void) { return CKR_FUNCTION_NOT_SUPPORTED; }

__attribute__((visibility("default"))) word C_GetFunctionList(struct function_list **out)
{
	static struct function_list list = { .major = 2, .minor = 40 };
	static const struct { enum function f; void *address; } known[] = {
		{ F_Initialize, initialize }, { F_Finalize, finalize }, { F_GetInfo, get_info }, { F_GetSlotList, slot_list },
		{ F_GetFunctionList, C_GetFunctionList }, { F_GetSlotInfo, slot_info }, { F_GetTokenInfo, token_info },
		{ F_GetMechanismList, mechanism_list }, { F_GetMechanismInfo, mechanism_info }, { F_OpenSession, open_session },
		{ F_CloseSession, close_session }, { F_CloseAllSessions, close_all }, { F_GetSessionInfo, session_info },
		{ F_Login, login }, { F_Logout, logout }, { F_GetAttributeValue, get_attributes }, { F_FindObjectsInit, find_init },
		{ F_FindObjects, find_next }, { F_FindObjectsFinal, find_final }, { F_SignInit, sign_init }, { F_Sign, sign },
	};
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < FUNCTION_COUNT && list.functions[F_Initialize] == NULL; i++) list.functions[i] = unsupported;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) list.functions[known[i].f] = known[i].address;
	pthread_mutex_unlock(&mutex);
	*out = &list;
	return CKR_OK;
}
