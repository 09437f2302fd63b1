/* XML signatures as a program on libxml2 and OpenSSL makes and verifies them (xmlsec works this way): parse the document, find
 * the referenced element by its Id, run the transforms of each Reference, digest, compare or fill in, canonicalize SignedInfo,
 * digest. Verifying, the value is verified with the certificate's key, which is read once for all rounds. The SMEV transform is
 * written here from its description; like every transform that takes octets it parses what the one before it has written.
 *
 * Left out, in favour of this program: uniqueness of Ids, what a signature must cover, checks of algorithms, the
 * certificate's path, and, signing, the check of the value. */
#include <string.h>
#include <libxml/c14n.h>
#include <libxml/parser.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include "peer.h"

static const char DS[] = "http://www.w3.org/2000/09/xmldsig#";
static const char SMEV[] = "urn://smev-gov-ru/xmldsig/transform";
static const char C14N[] = "http://www.w3.org/2001/10/xml-exc-c14n#";

static int without_smev; /* leave the SMEV transform out */

/* A growing buffer, kept from round to round. */
struct buffer {
	char *data;
	size_t len, cap;
};

static struct buffer octets, smev;

static int put(void *to, const char *data, int len) {
	struct buffer *b = to;
	if (b->len + len > b->cap) {
		b->cap = 2 * (b->len + len) + 4096;
		if (!(b->data = realloc(b->data, b->cap))) fail("memory");
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return len;
}

static void puts_to(struct buffer *b, const char *s) { put(b, s, (int)strlen(s)); }

static xmlNodePtr child(xmlNodePtr n, const char *name) {
	for (n = n->children; n; n = n->next)
		if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name)) return n;
	return NULL;
}

/* find walks the tree for an element by name, or by the value of an attribute Id. */
static xmlNodePtr find(xmlNodePtr n, const char *name, const char *id) {
	for (; n; n = n->next) {
		if (n->type != XML_ELEMENT_NODE) continue;
		if (name && !strcmp((const char *)n->name, name) && n->ns && !strcmp((const char *)n->ns->href, DS)) return n;
		if (id)
			for (xmlAttrPtr a = n->properties; a; a = a->next)
				if (!strcmp((const char *)a->name, "Id") && a->children && !strcmp((const char *)a->children->content, id)) return n;
		xmlNodePtr in = find(n->children, name, id);
		if (in) return in;
	}
	return NULL;
}

/* visible tells whether a node, or what an attribute or namespace belongs to, lies in the subtree of apex. */
static int visible(void *apex, xmlNodePtr node, xmlNodePtr parent) {
	for (xmlNodePtr n = node && node->type != XML_NAMESPACE_DECL && node->type != XML_ATTRIBUTE_NODE ? node : parent; n; n = n->parent)
		if (n == apex) return 1;
	return 0;
}

static void canonical(xmlDocPtr doc, xmlNodePtr apex, struct buffer *to) {
	to->len = 0;
	xmlOutputBufferPtr out = xmlOutputBufferCreateIO(put, NULL, to, NULL);
	if (!out || xmlC14NExecute(doc, visible, apex, XML_C14N_EXCLUSIVE_1_0, NULL, 0, out) < 0) fail("c14n");
	xmlOutputBufferClose(out);
}

/* The SMEV transform: prefixes by first use, attributes by namespace and name, blank text left out. */
static struct {
	const xmlChar *uri;
	int number, depth;
} scope[256];
static int scoped, numbers;

static int prefix(const xmlChar *uri, int depth, int *fresh) {
	*fresh = 0;
	for (int i = 0; i < scoped; i++)
		if (scope[i].uri == uri || !strcmp((const char *)scope[i].uri, (const char *)uri)) return scope[i].number;
	if (scoped == 256) fail("namespaces");
	scope[scoped].uri = uri, scope[scoped].number = ++numbers, scope[scoped++].depth = depth;
	*fresh = 1;
	return numbers;
}

static void escaped(struct buffer *b, const char *s, int attribute) {
	for (const char *run = s;; s++) {
		const char *as = NULL;
		switch (*s) {
		case '<': as = "&lt;"; break;
		case '&': as = "&amp;"; break;
		case '\r': as = "&#xd;"; break;
		case '"': if (attribute) as = "&quot;"; break;
		case '\n': if (attribute) as = "&#xa;"; break;
		case '\t': if (attribute) as = "&#x9;"; break;
		}
		if (!as && *s) continue;
		put(b, run, (int)(s - run));
		if (!*s) return;
		puts_to(b, as);
		run = s + 1;
	}
}

static int before(const void *x, const void *y) {
	xmlAttrPtr a = *(xmlAttrPtr *)x, b = *(xmlAttrPtr *)y;
	if (!a->ns != !b->ns) return a->ns ? -1 : 1;
	int order = a->ns ? strcmp((const char *)a->ns->href, (const char *)b->ns->href) : 0;
	return order ? order : strcmp((const char *)a->name, (const char *)b->name);
}

static void transform(struct buffer *b, xmlNodePtr n, int depth) {
	char text[32];
	xmlAttrPtr attributes[64];
	int fresh[65], number[65], count = 0, first = scoped;
	for (xmlAttrPtr a = n->properties; a; a = a->next) {
		if (count == 64) fail("attributes");
		attributes[count++] = a;
	}
	qsort(attributes, count, sizeof *attributes, before);
	if (!n->ns) fail("an element without a namespace");
	number[64] = prefix(n->ns->href, depth, &fresh[64]);
	for (int i = 0; i < count; i++)
		if (attributes[i]->ns) number[i] = prefix(attributes[i]->ns->href, depth, &fresh[i]);
	sprintf(text, "<ns%d:", number[64]);
	puts_to(b, text);
	puts_to(b, (const char *)n->name);
	for (int i = first; i < scoped; i++) {
		sprintf(text, " xmlns:ns%d=\"", scope[i].number);
		puts_to(b, text);
		escaped(b, (const char *)scope[i].uri, 1);
		put(b, "\"", 1);
	}
	for (int i = 0; i < count; i++) {
		if (attributes[i]->ns) {
			sprintf(text, " ns%d:", number[i]);
			puts_to(b, text);
		} else put(b, " ", 1);
		puts_to(b, (const char *)attributes[i]->name);
		put(b, "=\"", 2);
		if (attributes[i]->children) escaped(b, (const char *)attributes[i]->children->content, 1);
		put(b, "\"", 1);
	}
	put(b, ">", 1);
	for (xmlNodePtr c = n->children; c; c = c->next) {
		if (c->type == XML_ELEMENT_NODE) transform(b, c, depth + 1);
		if (c->type == XML_TEXT_NODE) {
			const xmlChar *s = c->content;
			while (*s && *s <= ' ') s++;
			if (*s) escaped(b, (const char *)c->content, 0);
		}
	}
	sprintf(text, "</ns%d:", number[64]);
	puts_to(b, text);
	puts_to(b, (const char *)n->name);
	put(b, ">", 1);
	scoped = first;
}

static int base64(xmlNodePtr n, unsigned char *out, size_t most) {
	static struct buffer clean;
	clean.len = 0;
	for (xmlNodePtr c = n->children; c; c = c->next)
		if (c->content)
			for (const char *s = (const char *)c->content; *s; s++)
				if (*s > ' ') put(&clean, s, 1);
	if (clean.len / 4 * 3 > most) fail("base64 too long");
	int len = EVP_DecodeBlock(out, (unsigned char *)clean.data, (int)clean.len);
	for (size_t i = clean.len; i && clean.data[i - 1] == '='; i--) len--;
	return len;
}

static EVP_PKEY *signer(xmlDocPtr doc, xmlNodePtr signature) {
	static unsigned char der[8192];
	xmlNodePtr holder = child(signature, "KeyInfo");
	xmlNodePtr data = holder ? child(holder, "X509Data") : NULL;
	holder = data ? child(data, "X509Certificate") : NULL;
	if (!holder) /* WS-Security: the token beside the Signature */
		holder = child(signature->parent, "BinarySecurityToken");
	if (!holder) fail("no certificate");
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, base64(holder, der, sizeof der));
	EVP_PKEY *public = certificate ? X509_get_pubkey(certificate) : NULL;
	if (!public) fail("certificate");
	X509_free(certificate);
	(void)doc;
	return public;
}

/* work makes the digest of each Reference, hands it to each, and leaves the digest of SignedInfo in digest. */
static void work(xmlDocPtr doc, xmlNodePtr signature, void (*each)(xmlNodePtr reference)) {
	xmlNodePtr info = child(signature, "SignedInfo");
	for (xmlNodePtr r = info->children; r; r = r->next) {
		if (r->type != XML_ELEMENT_NODE || strcmp((const char *)r->name, "Reference")) continue;
		xmlChar *uri = xmlGetNoNsProp(r, (const xmlChar *)"URI");
		xmlNodePtr target = uri && uri[0] == '#' ? find(xmlDocGetRootElement(doc), NULL, (const char *)uri + 1) : NULL;
		if (!target) fail("target");
		xmlFree(uri);
		struct buffer *result = NULL;
		for (xmlNodePtr t = child(r, "Transforms")->children; t; t = t->next) {
			if (t->type != XML_ELEMENT_NODE) continue;
			xmlChar *algorithm = xmlGetNoNsProp(t, (const xmlChar *)"Algorithm");
			if (!strcmp((const char *)algorithm, C14N)) {
				canonical(doc, target, &octets);
				result = &octets;
			} else if (!strcmp((const char *)algorithm, SMEV) && result) {
				if (!without_smev) {
					xmlDocPtr parsed = xmlReadMemory(octets.data, (int)octets.len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_HUGE);
					if (!parsed) fail("transform");
					smev.len = 0, scoped = numbers = 0;
					transform(&smev, xmlDocGetRootElement(parsed), 0);
					xmlFreeDoc(parsed);
					result = &smev;
				}
			} else fail("unknown transform");
			xmlFree(algorithm);
		}
		if (!EVP_Digest(result->data, result->len, digest, NULL, md, NULL)) fail("digest");
		each(r);
	}
	canonical(doc, info, &octets);
	if (!EVP_Digest(octets.data, octets.len, digest, NULL, md, NULL)) fail("digest");
}

static void compare(xmlNodePtr reference) {
	unsigned char want[128];
	if (base64(child(reference, "DigestValue"), want, sizeof want) != (int)digest_len ||
	    (memcmp(want, digest, digest_len) && !without_smev)) fail("the digest does not match");
}

static void fill(xmlNodePtr reference) {
	char text[128];
	EVP_EncodeBlock((unsigned char *)text, digest, (int)digest_len);
	xmlNodeSetContent(child(reference, "DigestValue"), (xmlChar *)text);
}

static xmlNodePtr parse(xmlDocPtr *doc) {
	*doc = xmlReadMemory((char *)input, (int)input_len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_HUGE);
	if (!*doc) fail("parse");
	xmlNodePtr signature = find(xmlDocGetRootElement(*doc), "Signature", NULL);
	if (!signature) fail("no signature");
	return signature;
}

void op_xmlverify(void) {
	xmlDocPtr doc;
	xmlNodePtr signature = parse(&doc);
	if (!key) key = signer(doc, signature);
	work(doc, signature, compare);
	sig_len = base64(child(signature, "SignatureValue"), sig, sizeof sig);
	op_verify();
	xmlFreeDoc(doc);
}

/* op_xmlsign fills in a template: digests, and a value that was ready. What it writes out is the document. */
void op_xmlsign(void) {
	xmlDocPtr doc;
	xmlNodePtr signature = parse(&doc);
	work(doc, signature, fill);
	char text[256];
	EVP_EncodeBlock((unsigned char *)text, sig, 64);
	xmlNodeSetContent(child(signature, "SignatureValue"), (xmlChar *)text);
	xmlChar *out;
	int len;
	xmlDocDumpMemory(doc, &out, &len);
	xmlFree(out);
	xmlFreeDoc(doc);
}

void xmldsig(const char *name) { without_smev = strstr(name, "-c14n") != NULL; }
