/* What the peers share: the input file and the keys of this run. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/evp.h>

void fail(const char *what);
extern unsigned char *input;
extern size_t input_len;
extern const EVP_MD *md;
extern EVP_PKEY *key;
extern unsigned char digest[64], sig[160];
extern size_t digest_len, sig_len;

void op_verify(void);

/* signature.c */
void xmldsig(const char *name);
void op_xmlsign(void);
void op_xmlverify(void);
