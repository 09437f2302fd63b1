// Reads the control file. README.md describes its lines.

#define _GNU_SOURCE
#include "control.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_RULES 256
#define MOST_VARIABLES 8
#define LARGEST_FILE (64 << 10)

enum spread { NONE, FIXED, UNIFORM, EXPONENTIAL };

struct rule {
	int function; // FUNCTION_COUNT: all
	unsigned long at, from, every, times;
	double chance;
	enum spread spread;
	double least, most; // of the delay; for EXPONENTIAL least is the mean
	struct plan plan;
	_Atomic unsigned long calls, fired;
};

struct state *state;

static char path[4096];
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct settings now;
static struct rule rules[MOST_RULES];
static int rule_count;
static char variables[MOST_VARIABLES][4096]; // NAME=VALUE
static int variable_count;
static unsigned long version; // counts changes of the file
static bool understood;
static struct stat seen;
static _Atomic uint64_t random_state = 1;

#define NAME(name, arity) "C_" #name,
static const char *const names[] = { FUNCTIONS(NAME, NAME) };

double chance(void)
{
	// SplitMix64
	uint64_t z = atomic_fetch_add(&random_state, 0x9E3779B97F4A7C15u) + 0x9E3779B97F4A7C15u;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static bool open_state(void)
{
	char name[sizeof path + 8];
	snprintf(name, sizeof name, "%s.state", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) return false;
	void *p = MAP_FAILED;
	if (ftruncate(fd, sizeof *state) == 0) p = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED) return false;
	state = p;
	return true;
}

bool control_open(void)
{
	if (state != NULL) return true;
	const char *named = getenv("EPOV_FAULT_CONTROL");
	Dl_info self;
	if (named != NULL)
		snprintf(path, sizeof path, "%s", named);
	else if (dladdr((void *)control_open, &self) && self.dli_fname != NULL)
		snprintf(path, sizeof path, "%s.conf", self.dli_fname);
	struct stat found;
	if (path[0] == 0 || stat(path, &found) != 0) {
		fprintf(stderr, "fault: no control file %s\n", path);
		return false;
	}
	return open_state();
}

static bool number(const char *text, unsigned long *value)
{
	char *end;
	if (!isdigit((unsigned char)*text)) return false;
	*value = strtoul(text, &end, 0);
	return *end == 0;
}

// seconds reads 5us, 2.5ms or 1s and gives what follows.
static const char *seconds(const char *text, double *value)
{
	char *end;
	*value = strtod(text, &end);
	if (end == text || !(*value >= 0) || *value > 1e9) return NULL;
	if (strncmp(end, "us", 2) == 0) {
		*value /= 1e6;
		return end + 2;
	}
	if (strncmp(end, "ms", 2) == 0) {
		*value /= 1e3;
		return end + 2;
	}
	return *end == 's' ? end + 1 : NULL;
}

static bool delay(const char *text, struct rule *r)
{
	r->spread = FIXED;
	if (strncmp(text, "exp:", 4) == 0) {
		r->spread = EXPONENTIAL;
		text += 4;
	}
	text = seconds(text, &r->least);
	if (text == NULL) return false;
	if (r->spread == FIXED && strncmp(text, "..", 2) == 0) {
		r->spread = UNIFORM;
		text = seconds(text + 2, &r->most);
		if (text == NULL || r->most < r->least) return false;
	}
	return *text == 0;
}

static bool corruption(const char *text, enum corruption *c)
{
	static const char *const kinds[] = { "keep", "flip", "swap", "reverse", "halves", "zero" };
	for (int i = FLIP; i <= ZERO; i++) {
		if (strcmp(text, kinds[i]) == 0) {
			*c = (enum corruption)i;
			return true;
		}
	}
	return false;
}

static bool end_word(const char *text, struct plan *p)
{
	if (strcmp(text, "hang") == 0)
		p->hang = true;
	else if (strcmp(text, "abort") == 0)
		p->signal = SIGABRT;
	else if (strcmp(text, "segv") == 0)
		p->signal = SIGSEGV;
	else if (strcmp(text, "kill") == 0)
		p->signal = SIGKILL;
	else
		return false;
	return true;
}

static bool rule_word(char *text, struct rule *r)
{
	if (end_word(text, &r->plan)) return true;
	char *value = strchr(text, '=');
	if (value == NULL) return false;
	*value++ = 0;
	if (strcmp(text, "at") == 0) return number(value, &r->at) && r->at > 0;
	if (strcmp(text, "from") == 0) return number(value, &r->from);
	if (strcmp(text, "every") == 0) return number(value, &r->every) && r->every > 0;
	if (strcmp(text, "times") == 0) return number(value, &r->times) && r->times > 0;
	if (strcmp(text, "return") == 0) return number(value, &r->plan.code);
	if (strcmp(text, "delay") == 0) return delay(value, r);
	if (strcmp(text, "corrupt") == 0) return corruption(value, &r->plan.corruption);
	if (strcmp(text, "chance") == 0) {
		char *end;
		r->chance = strtod(value, &end);
		return end != value && *end == 0 && r->chance >= 0 && r->chance <= 1;
	}
	return false;
}

static bool rule(char *text)
{
	if (rule_count == MOST_RULES) return false;
	struct rule *r = &rules[rule_count];
	memset(r, 0, sizeof *r);
	r->chance = 1;
	r->function = -1;
	char *rest, *name = strtok_r(text, " \t", &rest);
	if (name == NULL) return false;
	if (strcmp(name, "*") == 0) r->function = FUNCTION_COUNT;
	for (int i = 0; i < FUNCTION_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) r->function = i;
	}
	if (r->function < 0) return false;
	for (char *w; (w = strtok_r(NULL, " \t", &rest)) != NULL;) {
		if (!rule_word(w, r)) return false;
	}
	rule_count++;
	return true;
}

static bool hex(const char *text, unsigned char *out, word most, word *length)
{
	for (*length = 0; text[0] != 0; text += 2) {
		unsigned octet;
		if (*length == most || !isxdigit((unsigned char)text[0]) || sscanf(text, "%2x", &octet) != 1 || text[1] == 0)
			return false;
		out[(*length)++] = (unsigned char)octet;
	}
	return *length > 0;
}

static bool text_of(const char *text, char *out, size_t size) { return (size_t)snprintf(out, size, "%s", text) < size; }

static bool variable(const char *text)
{
	if (variable_count == MOST_VARIABLES || strchr(text, '=') == NULL || text[0] == '=') return false;
	return text_of(text, variables[variable_count++], sizeof variables[0]);
}

void control_environment(void)
{
	pthread_rwlock_rdlock(&lock);
	for (int i = 0; i < variable_count; i++) {
		char name[sizeof variables[0]];
		memcpy(name, variables[i], sizeof name);
		char *value = strchr(name, '=');
		*value++ = 0;
		setenv(name, value, 1);
	}
	pthread_rwlock_unlock(&lock);
}

static bool line(char *text, struct settings *s)
{
	unsigned long n;
	char *rest = text + strcspn(text, " \t");
	if (*rest != 0) *rest++ = 0;
	rest += strspn(rest, " \t");
	if (strcmp(text, "call") == 0) return rule(rest);
	if (strcmp(text, "module") == 0) return text_of(rest, s->module, sizeof s->module);
	if (strcmp(text, "env") == 0) return variable(rest);
	if (strcmp(text, "unplug") == 0) return *rest == 0 && (s->unplugged = true);
	if (strcmp(text, "serial") == 0) return *rest == 0 && (s->serial = true);
	if (strcmp(text, "pin-silent") == 0) return *rest == 0 && (s->pin_silent = true);
	if (strcmp(text, "sessions") == 0) return number(rest, &s->sessions);
	if (strcmp(text, "pin-tries") == 0) return number(rest, &s->pin_tries);
	if (strcmp(text, "flags") == 0) return number(rest, &s->flags);
	if (strcmp(text, "manufacturer") == 0) return text_of(rest, s->manufacturer, sizeof s->manufacturer);
	if (strcmp(text, "model") == 0) return text_of(rest, s->model, sizeof s->model);
	if (strcmp(text, "private-params") == 0) return hex(rest, s->params, sizeof s->params, &s->params_length);
	if (strcmp(text, "kill-sessions") == 0 && number(rest, &n)) {
		s->kill = (long)n;
		return true;
	}
	if (strcmp(text, "seed") == 0 && number(rest, &n)) {
		random_state = n;
		return true;
	}
	return false;
}

static bool parse(char *text)
{
	struct settings s = { 0 };
	rule_count = variable_count = 0;
	char *rest, *l;
	for (l = strtok_r(text, "\n", &rest); l != NULL; l = strtok_r(NULL, "\n", &rest)) {
		l += strspn(l, " \t");
		if (*l == 0 || *l == '#') continue;
		char shown[128];
		snprintf(shown, sizeof shown, "%s", l);
		if (!line(l, &s)) {
			fprintf(stderr, "fault: the control file has a line that is not understood: %s\n", shown);
			return false;
		}
	}
	now = s;
	return true;
}

static bool reread(void)
{
	static char text[LARGEST_FILE + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &seen) != 0) {
		if (fd >= 0) close(fd);
		return false;
	}
	ssize_t n, length = 0;
	while (length < LARGEST_FILE && (n = read(fd, text + length, LARGEST_FILE - (size_t)length)) > 0) length += n;
	close(fd);
	text[length] = 0;
	return length < LARGEST_FILE && parse(text);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

unsigned long control_read(struct settings *s)
{
	struct stat current;
	pthread_rwlock_rdlock(&lock);
	if (version == 0 || stat(path, &current) != 0 || !same(&current, &seen)) {
		pthread_rwlock_unlock(&lock);
		pthread_rwlock_wrlock(&lock);
		if (version == 0 || stat(path, &current) != 0 || !same(&current, &seen)) {
			understood = reread();
			version++;
		}
	}
	if (s != NULL) *s = now;
	unsigned long v = understood ? version : 0;
	pthread_rwlock_unlock(&lock);
	return v;
}

static double pause_of(const struct rule *r)
{
	switch (r->spread) {
	case FIXED:
		return r->least;
	case UNIFORM:
		return r->least + chance() * (r->most - r->least);
	case EXPONENTIAL: // the tail ends at a hundred times the mean
		return fmin(-r->least * log(1 - chance()), 100 * r->least);
	default:
		return 0;
	}
}

static bool fires(struct rule *r)
{
	unsigned long n = 1 + atomic_fetch_add(&r->calls, 1);
	if ((r->at != 0 && n != r->at) || n < r->from || (r->every != 0 && n % r->every != 0)) return false;
	if (r->chance < 1 && chance() >= r->chance) return false;
	return r->times == 0 || atomic_fetch_add(&r->fired, 1) < r->times;
}

struct plan control_plan(enum function f)
{
	struct plan p = { 0 };
	atomic_fetch_add(&state->calls[f], 1);
	pthread_rwlock_rdlock(&lock);
	for (int i = 0; i < rule_count; i++) {
		struct rule *r = &rules[i];
		if ((r->function != FUNCTION_COUNT && r->function != (int)f) || !fires(r)) continue;
		p.delay += pause_of(r);
		p.hang |= r->plan.hang;
		if (r->plan.code != CKR_OK) p.code = r->plan.code;
		if (r->plan.signal != 0) p.signal = r->plan.signal;
		if (r->plan.corruption != KEEP) p.corruption = r->plan.corruption;
	}
	pthread_rwlock_unlock(&lock);
	return p;
}
