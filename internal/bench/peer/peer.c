/* The peers that the benchmark compares with, one operation a run: OpenSSL with the gost engine, and libxml2.
 *
 *   peer MILLISECONDS OPERATION [FILE]
 *
 * repeats the operation for about that long and prints the nanoseconds of processor time that one took. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <libxml/c14n.h>
#include <libxml/parser.h>
#include <openssl/conf.h>
#include <openssl/engine.h>
#include <openssl/evp.h>
#include "peer.h"

void fail(const char *what) {
	fprintf(stderr, "peer: %s\n", what);
	exit(1);
}

static double cpu_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

unsigned char *input;
size_t input_len;
const EVP_MD *md;
EVP_PKEY *key;
unsigned char digest[64], sig[160];
size_t digest_len, sig_len;

static void op_hash(void) {
	unsigned char out[64];
	if (!EVP_Digest(input, input_len, out, NULL, md, NULL)) fail("digest");
}

static void op_sign(void) {
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	sig_len = sizeof sig;
	if (!ctx || EVP_PKEY_sign_init(ctx) <= 0 || EVP_PKEY_sign(ctx, sig, &sig_len, digest, digest_len) <= 0) fail("sign");
	EVP_PKEY_CTX_free(ctx);
}

void op_verify(void) {
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	if (!ctx || EVP_PKEY_verify_init(ctx) <= 0 || EVP_PKEY_verify(ctx, sig, sig_len, digest, digest_len) != 1) fail("verify");
	EVP_PKEY_CTX_free(ctx);
}

static void op_c14n(void) {
	xmlChar *out = NULL;
	xmlDocPtr doc = xmlReadMemory((char *)input, (int)input_len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_HUGE);
	if (!doc || xmlC14NDocDumpMemory(doc, NULL, XML_C14N_EXCLUSIVE_1_0, NULL, 0, &out) < 0) fail("c14n");
	xmlFree(out);
	xmlFreeDoc(doc);
}

static void make_key(const char *algorithm, const char *params) {
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(OBJ_txt2nid(algorithm), NULL);
	if (!ctx || EVP_PKEY_keygen_init(ctx) <= 0 || EVP_PKEY_CTX_ctrl_str(ctx, "paramset", params) <= 0 ||
	    EVP_PKEY_keygen(ctx, &key) <= 0) fail("key generation");
	EVP_PKEY_CTX_free(ctx);
}

int main(int argc, char **argv) {
	if (argc < 3) fail("usage: peer MILLISECONDS OPERATION [FILE]");
	double budget = atof(argv[1]) * 1e6;
	const char *name = argv[2];
	ENGINE_load_builtin_engines();
	ENGINE *e = ENGINE_by_id("gost");
	if (!e || !ENGINE_init(e) || !ENGINE_set_default(e, ENGINE_METHOD_ALL)) fail("no gost engine");
	if (argc > 3) {
		FILE *f = fopen(argv[3], "rb");
		if (!f) fail("cannot open the input");
		input = malloc(64 << 20);
		input_len = fread(input, 1, 64 << 20, f);
		fclose(f);
	}
	int bits = strstr(name, "512") ? 512 : 256;
	md = EVP_get_digestbyname(strstr(name, "94") ? "md_gost94" : bits == 512 ? "md_gost12_512" : "md_gost12_256");
	if (!md) fail("no digest");
	digest_len = bits / 8;
	memset(digest, 0x5a, sizeof digest);
	void (*op)(void) = NULL;
	if (!strncmp(name, "hash", 4)) op = op_hash;
	if (!strcmp(name, "c14n")) op = op_c14n;
	if (!strncmp(name, "xmlsign", 7)) op = op_xmlsign;
	if (!strncmp(name, "xmlverify", 9)) op = op_xmlverify;
	xmldsig(name);
	if (!strncmp(name, "sign", 4) || !strncmp(name, "verify", 6)) {
		op = name[0] == 's' ? op_sign : op_verify;
		make_key(bits == 512 ? "gost2012_512" : "gost2012_256", strstr(name, "tc26") ? "TCA" : "A");
		op_sign();
	}
	if (!op) fail("unknown operation");
	op();
	long n = 0;
	double start = cpu_ns(), spent;
	do {
		op();
		n++;
		spent = cpu_ns() - start;
	} while (spent < budget);
	printf("%.1f\n", spent / n);
	return 0;
}
