/* Canonicalizes documents with libxml2, one after the other: reads a request, writes an answer, until its input ends.
 *
 *   request: form (one octet), length (four octets, big-endian), document
 *   answer:  0 for success (one octet), length (four octets), canonical octets; not 0 and length 0 where libxml2 refuses
 *
 * Forms: 0 inclusive 1.0, 1 exclusive, 2 inclusive 1.1; 128 more with comments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libxml/c14n.h>
#include <libxml/parser.h>

static void quiet(void *ctx, const char *msg, ...) { (void)ctx, (void)msg; }

static void answer(int status, const xmlChar *out, size_t n) {
	unsigned char head[5] = {status, n >> 24, n >> 16, n >> 8, n};
	if (fwrite(head, 1, 5, stdout) != 5 || fwrite(out, 1, n, stdout) != n || fflush(stdout)) exit(1);
}

int main(void) {
	static const int modes[] = {XML_C14N_1_0, XML_C14N_EXCLUSIVE_1_0, XML_C14N_1_1};
	unsigned char head[5];
	xmlSetGenericErrorFunc(NULL, quiet);
	while (fread(head, 1, 5, stdin) == 5) {
		size_t n = (size_t)head[1] << 24 | head[2] << 16 | head[3] << 8 | head[4];
		char *doc = malloc(n + 1);
		if (!doc || fread(doc, 1, n, stdin) != n || (head[0] & 127) > 2) return 1;
		xmlChar *out = NULL;
		xmlDocPtr d = xmlReadMemory(doc, (int)n, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
		int size = d ? xmlC14NDocDumpMemory(d, NULL, modes[head[0] & 127], NULL, head[0] >> 7, &out) : -1;
		if (size < 0) answer(1, NULL, 0);
		else answer(0, out, (size_t)size);
		xmlFree(out);
		xmlFreeDoc(d);
		free(doc);
	}
	return 0;
}
