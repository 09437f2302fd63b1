// What the control file asks for.

#ifndef EPOV_CONTROL_H
#define EPOV_CONTROL_H

#include "pkcs11.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum corruption { KEEP, FLIP, SWAP, REVERSE, HALVES, ZERO };

// settings hold for all calls.
struct settings {
	char module[4096];
	bool unplugged;
	long kill;       // a greater number than before: all sessions die
	word sessions;   // most at once; 0: no limit
	word pin_tries;  // wrong user PINs in a row until it is locked; 0: the module's own rules
	bool pin_silent; // no flags of the PIN
	word flags;      // more flags of the token
	char manufacturer[33], model[17];
	bool serial; // one call at a time, as in a smart card
	unsigned char params[64];
	word params_length; // what private keys get for CKA_GOSTR3410_PARAMS when they are created
};

// plan is what happens to one call.
struct plan {
	word code; // CKR_OK: the module is asked
	double delay; // seconds
	bool hang;    // until the control file changes
	int signal;   // the process gets it
	enum corruption corruption;
};

// state is shared by the processes that use one control file and outlives them: the file's name with ".state".
struct state {
	_Atomic uint64_t wrong_pins;
	_Atomic uint64_t sessions; // of the process that opened or closed one last
	_Atomic uint64_t calls[FUNCTION_COUNT];
};

extern struct state *state;

// control_open finds the control file; false when there is none.
bool control_open(void);

// control_read reads the file when it has changed, and gives a number that changes with it; 0: it cannot be understood.
unsigned long control_read(struct settings *);

// control_plan counts the call and says what happens to it.
struct plan control_plan(enum function);

// control_environment sets the variables that the module shall see.
void control_environment(void);

// chance is uniform in [0, 1).
double chance(void);

#endif
