/* The bare loop that a token's throughput is compared with: threads that call C_SignInit and C_Sign, and nothing else.
 *
 *   tokenloop MODULE LABEL PIN THREADS
 *
 * makes itself ready, then for each line with a number of milliseconds on standard input signs for as long, and prints
 * signatures in a second of processor time, and in one on the clock. The first private key that may sign by CKM_GOSTR3410 is used. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../../../softhsm/fault/pkcs11.h"

static struct function_list *f;
static word key;
static atomic_int running;
static pthread_barrier_t start, end;

static void check(word rv, const char *what) {
	if (rv == CKR_OK) return;
	fprintf(stderr, "tokenloop: %s: %#lx\n", what, rv);
	exit(1);
}

/* call calls a function of at most six arguments, each a word. */
#define call(name, ...) check(((word (*)())f->functions[F_##name])(__VA_ARGS__), "C_" #name)

struct worker {
	word session;
	long done;
};

static void *work(void *argument) {
	struct worker *w = argument;
	struct { word kind; void *parameter; word length; } mechanism = { 0x1201, NULL, 0 };
	unsigned char digest[32], out[128];
	memset(digest, 0x5a, sizeof digest);
	for (;;) {
		pthread_barrier_wait(&start);
		w->done = 0;
		while (atomic_load_explicit(&running, memory_order_relaxed)) {
			word n = sizeof out;
			call(SignInit, w->session, &mechanism, key);
			call(Sign, w->session, digest, (word)sizeof digest, out, &n);
			w->done++;
		}
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static double now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: tokenloop MODULE LABEL PIN THREADS\n");
		return 2;
	}
	void *module = dlopen(argv[1], RTLD_NOW);
	if (module == NULL) {
		fprintf(stderr, "tokenloop: %s\n", dlerror());
		return 1;
	}
	word (*list)(struct function_list **) = (word (*)(struct function_list **))dlsym(module, "C_GetFunctionList");
	check(list(&f), "C_GetFunctionList");
	struct { void *locks[4]; word flags; void *reserved; } init = { .flags = 2 }; /* the system's own locks */
	call(Initialize, &init);
	word slots[64], count = 64, slot = ~0UL;
	call(GetSlotList, (word)1, slots, &count);
	for (word i = 0; i < count; i++) {
		union { struct token_info info; char room[512]; } token;
		call(GetTokenInfo, slots[i], &token);
		size_t n = strlen(argv[2]);
		if (n < 32 && memcmp(token.info.label, argv[2], n) == 0 && token.info.label[n] == ' ') slot = slots[i];
	}
	if (slot == ~0UL) {
		fprintf(stderr, "tokenloop: no token %s\n", argv[2]);
		return 1;
	}
	int threads = atoi(argv[4]);
	struct worker *workers = calloc((size_t)threads, sizeof *workers);
	for (int i = 0; i < threads; i++) call(OpenSession, slot, (word)4, NULL, NULL, &workers[i].session);
	call(Login, workers[0].session, (word)1, argv[3], (word)strlen(argv[3]));
	word class = CKO_PRIVATE_KEY, type = 0x30, found = 0;
	struct attribute wanted[] = { { CKA_CLASS, &class, sizeof class }, { 0x100, &type, sizeof type } };
	call(FindObjectsInit, workers[0].session, wanted, (word)2);
	call(FindObjects, workers[0].session, &key, (word)1, &found);
	call(FindObjectsFinal, workers[0].session);
	if (found != 1) check(1, "find the key");
	pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
	pthread_barrier_init(&end, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++) {
		pthread_t t;
		pthread_create(&t, NULL, work, &workers[i]);
	}
	char line[32];
	while (fgets(line, sizeof line, stdin) != NULL) {
		double seconds = atof(line) / 1e3;
		atomic_store(&running, 1);
		pthread_barrier_wait(&start);
		double began = now(CLOCK_MONOTONIC), spent = now(CLOCK_PROCESS_CPUTIME_ID);
		nanosleep(&(struct timespec){ (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) }, NULL);
		atomic_store(&running, 0);
		pthread_barrier_wait(&end);
		double took = now(CLOCK_MONOTONIC) - began;
		spent = now(CLOCK_PROCESS_CPUTIME_ID) - spent;
		long done = 0;
		for (int i = 0; i < threads; i++) done += workers[i].done;
		printf("%.1f %.1f\n", (double)done / spent, (double)done / took);
		fflush(stdout);
	}
	_exit(0); /* the library's end is no part of it */
}
