package xmldsig

import "bytes"

// Namespaces that signatures and their messages are made of.
const (
	nsSOAP  = "http://schemas.xmlsoap.org/soap/envelope/"
	nsDS    = "http://www.w3.org/2000/09/xmldsig#"
	nsEC    = "http://www.w3.org/2001/10/xml-exc-c14n#"
	nsXF    = "http://www.w3.org/2002/06/xmldsig-filter2"
	nsWSSE  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	nsWSU   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	nsXAdES = "http://uri.etsi.org/01903/v1.3.2#"
	nsETSI  = "http://uri.etsi.org/01903/v" // other versions of XAdES
	nsXOP   = "http://www.w3.org/2004/08/xop/include"
	nsXML   = "http://www.w3.org/XML/1998/namespace"

	nsGISGMP = "http://roskazna.ru/gisgmp/xsd/" // and a version and a schema, such as 116/Message

	nsSMEV2 = "http://smev.gosuslugi.ru/rev"                                   // and a revision, such as 120315
	nsSMEV3 = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/" // and [basic/]1.N
)

// Identifiers in attribute values.
const (
	actorSMEV      = "http://smev.gosuslugi.ru/actors/smev"
	actorRecipient = "http://smev.gosuslugi.ru/actors/recipient"

	tokenX509    = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
	tokenPKIPath = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509PKIPathv1"
	tokenBase64  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"

	keySKI        = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509SubjectKeyIdentifier"
	keyThumbprint = "http://docs.oasis-open.org/wss/oasis-wss-soap-message-security-1.1#ThumbprintSHA1"

	typeSignedProperties = "http://uri.etsi.org/01903#SignedProperties"
	typeManifest         = nsDS + "Manifest"
)

// vocabulary is a namespace this package knows: its symbol, and the version where the namespace names one. SMEV 3 uses one
// version throughout a message; its symbols have a question mark in a version that is not understood.
type vocabulary struct{ symbol, version string }

// vocabularyOf classifies a namespace; ok is false for a foreign one. intern makes the version's text.
func vocabularyOf(space []byte, intern func([]byte) string) (v vocabulary, ok bool) {
	switch string(space) {
	case nsSOAP:
		return vocabulary{symbol: "soap"}, true
	case nsDS:
		return vocabulary{symbol: "ds"}, true
	case nsEC:
		return vocabulary{symbol: "ec"}, true
	case nsXF:
		return vocabulary{symbol: "xf"}, true
	case nsWSSE:
		return vocabulary{symbol: "wsse"}, true
	case nsXAdES:
		return vocabulary{symbol: "xades"}, true
	case nsXOP:
		return vocabulary{symbol: "xop"}, true
	}
	if rest, ok := cutPrefix(space, nsSMEV3); ok {
		symbol, unknown := "t", "t?"
		if basic, ok := cutPrefix(rest, "basic/"); ok {
			symbol, unknown, rest = "b", "b?", basic
		}
		switch {
		case string(rest) == "1.1", string(rest) == "1.2", string(rest) == "1.3":
			return vocabulary{symbol, intern(rest)}, true
		case bytes.IndexByte(rest, '/') < 0:
			return vocabulary{unknown, intern(rest)}, true
		}
		return vocabulary{}, false
	}
	if _, ok := cutPrefix(space, nsETSI); ok {
		return vocabulary{symbol: "etsi"}, true
	}
	if revision, ok := cutPrefix(space, nsSMEV2); ok && len(revision) > 0 && len(bytes.Trim(revision, "0123456789")) == 0 {
		return vocabulary{"smev", intern(revision)}, true
	}
	return vocabulary{}, false
}

// cutPrefix is bytes.CutPrefix with a string.
func cutPrefix(s []byte, prefix string) (rest []byte, ok bool) {
	if len(s) < len(prefix) || string(s[:len(prefix)]) != prefix {
		return s, false
	}
	return s[len(prefix):], true
}

// isID tells the attributes that give an element its Id: Id, ID and id without a namespace, wsu:Id, xml:id.
func isID[T string | []byte](space, local T) bool {
	if len(local) != 2 {
		return false
	}
	switch string(space) {
	case "":
		return string(local) == "Id" || string(local) == "ID" || string(local) == "id"
	case nsWSU:
		return string(local) == "Id"
	case nsXML:
		return string(local) == "id"
	}
	return false
}

// isDeclaredID tells the attributes that schemas of SMEV, XMLDSig and WS-Security declare as xs:ID. Values of ID and id repeat
// innocently in payloads; such a value matters only when a Reference uses it.
func isDeclaredID(space, local string) bool {
	return isID(space, local) && (space != "" || local == "Id")
}
