// A PKCS#11 module that stands before another one and makes it fail in the ways in which tokens fail.
//
// Sessions have handles of the shim's own, which are never given out twice: those that died with an unplugged token stay
// dead when it is back. A session of the module is closed when no call is under way in it.

#define _GNU_SOURCE
#include "control.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define MOST_SESSIONS 4096

struct session {
	word handle; // 0: the place is free
	word real, slot;
	bool dead;
	int calls; // under way
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; // guards what follows
static struct function_list *module;
static struct session sessions[MOST_SESSIONS];
static word last_handle;
static word live;
static long killed;

static pthread_mutex_t channel = PTHREAD_MUTEX_INITIALIZER; // of a token that does one thing at a time

#define ARITY(name, arity) arity,
static const int arities[] = { FUNCTIONS(ARITY, ARITY) };
#define NO(name, arity) false,
#define YES(name, arity) true,
static const bool on_session[] = { FUNCTIONS(NO, YES) };

static word call(enum function f, const word a[8])
{
	void *p = module->functions[f];
	switch (arities[f]) {
	case 1:
		return ((word(*)(word))p)(a[0]);
	case 2:
		return ((word(*)(word, word))p)(a[0], a[1]);
	case 3:
		return ((word(*)(word, word, word))p)(a[0], a[1], a[2]);
	case 4:
		return ((word(*)(word, word, word, word))p)(a[0], a[1], a[2], a[3]);
	case 5:
		return ((word(*)(word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4]);
	case 6:
		return ((word(*)(word, word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4], a[5]);
	default:
		return ((word(*)(word, word, word, word, word, word, word, word))p)(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
	}
}

// drop frees the place of a session that is dead and idle. The mutex is held.
static void drop(struct session *s)
{
	if (!s->dead || s->calls > 0) return;
	word a[8] = { s->real };
	call(F_CloseSession, a);
	s->handle = 0;
}

// kill_sessions lets the sessions of a slot die, or all. The mutex is held.
static void kill_sessions(const word *slot)
{
	for (int i = 0; i < MOST_SESSIONS; i++) {
		struct session *s = &sessions[i];
		if (s->handle == 0 || s->dead || (slot != NULL && s->slot != *slot)) continue;
		s->dead = true;
		live--;
		drop(s);
	}
	state->sessions = live;
}

static struct session *enter(word handle)
{
	pthread_mutex_lock(&mutex);
	struct session *found = NULL;
	for (int i = 0; i < MOST_SESSIONS && found == NULL; i++) {
		struct session *s = &sessions[i];
		if (handle != 0 && s->handle == handle && !s->dead) found = s;
	}
	if (found != NULL) found->calls++;
	pthread_mutex_unlock(&mutex);
	return found;
}

static void leave(struct session *s)
{
	pthread_mutex_lock(&mutex);
	s->calls--;
	drop(s);
	pthread_mutex_unlock(&mutex);
}

static word load(const char *path)
{
	if (module != NULL) return CKR_OK;
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	word (*list)(struct function_list **) = NULL;
	if (library != NULL) *(void **)&list = dlsym(library, "C_GetFunctionList");
	if (list == NULL) {
		fprintf(stderr, "fault: %s: %s\n", path, dlerror());
		return CKR_GENERAL_ERROR;
	}
	return list(&module);
}

static void wait_for(double seconds)
{
	struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
	while (nanosleep(&t, &t) != 0 && errno == EINTR) {
	}
}

static void hang(unsigned long since)
{
	while (control_read(NULL) == since) wait_for(0.005);
}

static word open_session(word a[8], const struct settings *s)
{
	word *out = (word *)a[4];
	if (out == NULL) return CKR_ARGUMENTS_BAD;
	pthread_mutex_lock(&mutex);
	struct session *place = NULL;
	for (int i = 0; i < MOST_SESSIONS && place == NULL; i++) {
		if (sessions[i].handle == 0) place = &sessions[i];
	}
	word rv = CKR_SESSION_COUNT;
	if (place != NULL && (s->sessions == 0 || live < s->sessions)) {
		word real = 0;
		word b[8] = { a[0], a[1], a[2], a[3], (word)&real };
		rv = call(F_OpenSession, b);
		if (rv == CKR_OK) {
			*place = (struct session){ .handle = ++last_handle, .real = real, .slot = a[0] };
			*out = place->handle;
			state->sessions = ++live;
		}
	}
	pthread_mutex_unlock(&mutex);
	return rv;
}

static word close_session(word handle)
{
	pthread_mutex_lock(&mutex);
	word rv = CKR_SESSION_HANDLE_INVALID;
	for (int i = 0; i < MOST_SESSIONS; i++) {
		struct session *s = &sessions[i];
		if (handle == 0 || s->handle != handle || s->dead) continue;
		s->dead = true;
		state->sessions = --live;
		drop(s);
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mutex);
	return rv;
}

// by_officer tells whether a session is the security officer's, whose PIN has a counter of its own.
static bool by_officer(enum function f, const word a[8])
{
	if (f == F_Login) return a[1] == CKU_SO;
	word info[4] = { 0 }; // CK_SESSION_INFO: slot, state, flags, error
	word b[8] = { a[0], (word)info };
	return call(F_GetSessionInfo, b) == CKR_OK && info[1] == CKS_RW_SO_FUNCTIONS;
}

// try_pin counts wrong PINs of C_Login and C_SetPIN.
static word try_pin(enum function f, const word a[8], const struct settings *s)
{
	if (s->pin_tries == 0 || by_officer(f, a)) return call(f, a);
	if (state->wrong_pins >= s->pin_tries) return CKR_PIN_LOCKED;
	word rv = call(f, a);
	if (rv == CKR_PIN_INCORRECT)
		atomic_fetch_add(&state->wrong_pins, 1);
	else if (rv == CKR_OK)
		state->wrong_pins = 0;
	return rv;
}

// init_pin unlocks the user PIN.
static word init_pin(const word a[8])
{
	word rv = call(F_InitPIN, a);
	if (rv == CKR_OK) state->wrong_pins = 0;
	return rv;
}

static void pad(char *field, size_t size, const char *text)
{
	if (text[0] == 0) return;
	memset(field, ' ', size);
	memcpy(field, text, strnlen(text, size));
}

static word token_info(const word a[8], const struct settings *s)
{
	word rv = call(F_GetTokenInfo, a);
	struct token_info *t = (struct token_info *)a[1];
	if (rv != CKR_OK || t == NULL) return rv;
	pad(t->manufacturer, sizeof t->manufacturer, s->manufacturer);
	pad(t->model, sizeof t->model, s->model);
	const word all = CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
	if (s->pin_tries != 0 || s->pin_silent) t->flags &= ~all;
	if (s->pin_tries != 0 && !s->pin_silent) {
		uint64_t wrong = state->wrong_pins;
		if (wrong > 0) t->flags |= CKF_USER_PIN_COUNT_LOW;
		if (wrong + 1 == s->pin_tries) t->flags |= CKF_USER_PIN_FINAL_TRY;
		if (wrong >= s->pin_tries) t->flags |= CKF_USER_PIN_LOCKED;
	}
	t->flags |= s->flags;
	return rv;
}

static void reverse(unsigned char *p, word n)
{
	for (word i = 0; i < n / 2; i++) {
		unsigned char c = p[i];
		p[i] = p[n - 1 - i];
		p[n - 1 - i] = c;
	}
}

static void corrupt(unsigned char *p, word n, enum corruption how)
{
	switch (how) {
	case KEEP:
		return;
	case FLIP:
		p[(word)(chance() * (double)n)] ^= (unsigned char)(1 << (int)(chance() * 8));
		return;
	case SWAP: // r before s
		for (word i = 0; i < n / 2; i++) {
			unsigned char c = p[i];
			p[i] = p[n / 2 + i];
			p[n / 2 + i] = c;
		}
		return;
	case REVERSE:
		reverse(p, n);
		return;
	case HALVES: // each half little-endian
		reverse(p, n / 2);
		reverse(p + n / 2, n / 2);
		return;
	case ZERO:
		memset(p, 0, n);
	}
}

// create_object gives private keys other parameters than they come with: what is signed later is on another curve.
static word create_object(const word a[8], const struct settings *s)
{
	const struct attribute *given = (const struct attribute *)a[1];
	word n = a[2];
	bool private = false;
	for (word i = 0; i < n && given != NULL; i++) {
		if (given[i].type == CKA_CLASS && given[i].length == sizeof(word) && given[i].value != NULL)
			private = *(word *)given[i].value == CKO_PRIVATE_KEY;
	}
	if (!private || s->params_length == 0) return call(F_CreateObject, a);
	struct attribute *changed = calloc(n, sizeof *changed);
	if (changed == NULL) return CKR_GENERAL_ERROR;
	memcpy(changed, given, n * sizeof *changed);
	for (word i = 0; i < n; i++) {
		if (changed[i].type != CKA_GOSTR3410_PARAMS) continue;
		changed[i].value = (void *)s->params;
		changed[i].length = s->params_length;
	}
	word b[8] = { a[0], (word)changed, n, a[3] };
	word rv = call(F_CreateObject, b);
	free(changed);
	return rv;
}

// perform asks the module.
static word perform(enum function f, word a[8], const struct settings *s, const struct plan *p)
{
	word rv;
	switch (f) {
	case F_OpenSession:
		return open_session(a, s);
	case F_GetTokenInfo:
		return token_info(a, s);
	case F_Login:
	case F_SetPIN:
		return try_pin(f, a, s);
	case F_InitPIN:
		return init_pin(a);
	case F_CreateObject:
		return create_object(a, s);
	case F_Sign:
		rv = call(f, a);
		if (rv == CKR_OK && a[3] != 0 && a[4] != 0) corrupt((unsigned char *)a[3], *(word *)a[4], p->corruption);
		return rv;
	case F_SignFinal:
		rv = call(f, a);
		if (rv == CKR_OK && a[1] != 0 && a[2] != 0) corrupt((unsigned char *)a[1], *(word *)a[2], p->corruption);
		return rv;
	default:
		return call(f, a);
	}
}

// absent answers for a token that is not there; CKR_OK: the call has nothing to do with it.
static word absent(enum function f, const word a[8])
{
	switch (f) {
	case F_GetSlotList:
		if (a[2] == 0) return CKR_ARGUMENTS_BAD;
		*(word *)a[2] = 0;
		return CKR_OK;
	case F_GetSlotInfo:
	case F_GetTokenInfo:
	case F_GetMechanismList:
	case F_GetMechanismInfo:
	case F_InitToken:
	case F_OpenSession:
		return CKR_TOKEN_NOT_PRESENT;
	default:
		return CKR_DEVICE_REMOVED;
	}
}

static bool of_token(enum function f) { return on_session[f] || (f >= F_GetSlotList && f <= F_OpenSession); }

static word misbehave(const struct plan *p, unsigned long version)
{
	if (p->delay > 0) wait_for(p->delay);
	if (p->hang) hang(version);
	if (p->signal != 0) {
		signal(p->signal, SIG_DFL);
		raise(p->signal);
	}
	return p->code;
}

static bool died(const struct session *s)
{
	if (s == NULL) return false;
	pthread_mutex_lock(&mutex);
	bool dead = s->dead;
	pthread_mutex_unlock(&mutex);
	return dead;
}

static word on_channel(enum function f, word a[8], const struct session *session, const struct plan *p, unsigned long version)
{
	struct settings s;
	word rv = misbehave(p, version);
	if (rv != CKR_OK) return rv;
	if (control_read(&s) == 0) return CKR_GENERAL_ERROR;
	if (s.unplugged && of_token(f)) return absent(f, a);
	if (died(session)) return CKR_DEVICE_REMOVED; // pulled out meanwhile and plugged in again
	return perform(f, a, &s, p);
}

// initialize sets the environment for the module alone: several shims in one process would otherwise mix theirs up, and
// they share nothing but the file they run from.
static word initialize(const word a[8])
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (fd >= 0) flock(fd, LOCK_EX);
	control_environment();
	word rv = call(F_Initialize, a);
	if (fd >= 0) close(fd);
	return rv;
}

static word whole_module(enum function f, word a[8], const struct settings *s, const struct plan *p, unsigned long version)
{
	if (f == F_CloseAllSessions) {
		word rv = misbehave(p, version);
		if (rv != CKR_OK) return rv;
		pthread_mutex_lock(&mutex);
		kill_sessions(&a[0]);
		pthread_mutex_unlock(&mutex);
		return CKR_OK;
	}
	pthread_mutex_lock(&mutex);
	word rv = f == F_Initialize ? load(s->module) : CKR_OK;
	if (rv == CKR_OK && module == NULL) rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	pthread_mutex_unlock(&mutex);
	if (rv == CKR_OK) rv = misbehave(p, version);
	if (rv == CKR_OK) rv = f == F_Initialize ? initialize(a) : call(f, a);
	if (rv == CKR_OK) {
		pthread_mutex_lock(&mutex);
		memset(sessions, 0, sizeof sessions);
		state->sessions = live = 0;
		killed = s->kill;
		pthread_mutex_unlock(&mutex);
	}
	return rv;
}

static word through(enum function f, word a[8])
{
	struct settings s;
	if (!control_open()) return CKR_GENERAL_ERROR;
	unsigned long version = control_read(&s);
	if (version == 0) return CKR_GENERAL_ERROR;
	// To ask for a length is free with some modules and left out by some callers: faults are for signatures.
	bool asks = (f == F_Sign && a[3] == 0) || (f == F_SignFinal && a[1] == 0);
	struct plan p = { 0 };
	if (!asks) p = control_plan(f);
	if (f == F_Initialize || f == F_Finalize || f == F_CloseAllSessions) return whole_module(f, a, &s, &p, version);
	if (module == NULL) return CKR_CRYPTOKI_NOT_INITIALIZED;

	pthread_mutex_lock(&mutex);
	if (s.unplugged || s.kill > killed) kill_sessions(NULL);
	if (s.kill > killed) killed = s.kill;
	pthread_mutex_unlock(&mutex);

	struct session *session = NULL;
	if (f == F_CloseSession) {
		word rv = misbehave(&p, version);
		return rv != CKR_OK ? rv : close_session(a[0]);
	}
	if (on_session[f]) {
		session = enter(a[0]);
		if (session == NULL) {
			word rv = misbehave(&p, version); // it was counted
			if (rv != CKR_OK) return rv;
			return s.unplugged ? CKR_DEVICE_REMOVED : CKR_SESSION_HANDLE_INVALID;
		}
		a[0] = session->real;
	}
	if (s.serial) pthread_mutex_lock(&channel);
	word rv = on_channel(f, a, session, &p, version);
	if (s.serial) pthread_mutex_unlock(&channel);
	if (session != NULL) leave(session);
	return rv;
}

#define PARAMETERS1 word a
#define PARAMETERS2 PARAMETERS1, word b
#define PARAMETERS3 PARAMETERS2, word c
#define PARAMETERS4 PARAMETERS3, word d
#define PARAMETERS5 PARAMETERS4, word e
#define PARAMETERS6 PARAMETERS5, word f
#define PARAMETERS8 PARAMETERS6, word g, word h
#define ARGUMENTS1 a
#define ARGUMENTS2 ARGUMENTS1, b
#define ARGUMENTS3 ARGUMENTS2, c
#define ARGUMENTS4 ARGUMENTS3, d
#define ARGUMENTS5 ARGUMENTS4, e
#define ARGUMENTS6 ARGUMENTS5, f
#define ARGUMENTS8 ARGUMENTS6, g, h

#define EXPORT __attribute__((visibility("default")))
#define DEFINE(name, arity) \
	EXPORT word C_##name(PARAMETERS##arity) \
	{ \
		word all[8] = { ARGUMENTS##arity }; \
		return answer(F_##name, all); \
	}

#define DECLARE(name, arity) EXPORT word C_##name(PARAMETERS##arity);
FUNCTIONS(DECLARE, DECLARE)

#define ADDRESS(name, arity) (void *)C_##name,
static struct function_list list = { 2, 40, { FUNCTIONS(ADDRESS, ADDRESS) } };

static word answer(enum function f, word a[8])
{
	if (f != F_GetFunctionList) return through(f, a);
	if (a[0] == 0) return CKR_ARGUMENTS_BAD;
	*(struct function_list **)a[0] = &list;
	return CKR_OK;
}

FUNCTIONS(DEFINE, DEFINE)
