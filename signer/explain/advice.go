package explain

import (
	"slices"

	"github.com/epov-signer/epov/signer/report"
)

// Advice says what to do about a failed check that is no matter of digests and values.
type Advice struct {
	Code report.Code
	Sentence
}

// advices is what usually helps, by code.
var advices = []Advice{
	{report.XMLDuplicateID, Sentence{"give every element an Id of its own; a verifier cannot know which one is meant",
		"задайте каждому элементу собственный Id: иначе неизвестно, какой из них подписан"}},
	{report.SignatureNone, Sentence{"sign the message before it is sent; in SMEV 3 the signature goes into its own wrapper element",
		"подпишите сообщение перед отправкой; в СМЭВ 3 подпись помещается в предназначенный для неё элемент"}},
	{report.SignatureStructure, Sentence{"write ds:Signature as XMLDSig section 4 says: SignedInfo, SignatureValue, KeyInfo, Object, in this order",
		"записывайте ds:Signature по разделу 4 XMLDSig: SignedInfo, SignatureValue, KeyInfo, Object — именно в этом порядке"}},
	{report.SignatureMethod, Sentence{"name the signature algorithm of the certificate's key, GOST R 34.10-2012 of 256 or 512 bits",
		"указывайте алгоритм подписи по ключу сертификата: ГОСТ Р 34.10-2012 с ключом 256 или 512 бит"}},
	{report.SignatureC14N, Sentence{"canonicalize SignedInfo with http://www.w3.org/2001/10/xml-exc-c14n#",
		"каноникализируйте SignedInfo по http://www.w3.org/2001/10/xml-exc-c14n#"}},
	{report.ReferenceURI, Sentence{"refer to the signed element by URI=\"#id\"; content outside the message is never fetched",
		"ссылайтесь на подписываемый элемент через URI=\"#id\"; данные вне сообщения не загружаются"}},
	{report.ReferenceTransform, Sentence{"use enveloped-signature, a canonicalization and, in SMEV 3, the SMEV transform last; nothing else",
		"используйте только enveloped-signature, каноникализацию и, в СМЭВ 3, последним — преобразование СМЭВ"}},
	{report.ReferenceMethod, Sentence{"use the hash of the key: GOST R 34.11-2012 of 256 or 512 bits",
		"используйте хэш-функцию, соответствующую ключу: ГОСТ Р 34.11-2012 с длиной 256 или 512 бит"}},
	{report.KeyInfo, Sentence{"put the signer's certificate into KeyInfo/X509Data; in SMEV 2, refer to a BinarySecurityToken in the same header",
		"поместите сертификат подписанта в KeyInfo/X509Data; в СМЭВ 2 — ссылку на BinarySecurityToken в том же заголовке"}},
	{report.CoverageWrong, Sentence{"sign the very element that the recipient reads, in its place; docs/profiles.md says which one that is",
		"подписывайте именно тот элемент, который читает получатель, на его месте; какой — указано в docs/profiles.md"}},
	{report.ProfileForm, Sentence{"write the signature as the profile says: transforms, place, and nothing beside it in its wrapper",
		"оформите подпись по профилю: преобразования, место и отсутствие других элементов рядом с ней"}},
	{report.XAdESProperties, Sentence{"let SignedInfo refer to SignedProperties of this very signature, with Type http://uri.etsi.org/01903#SignedProperties",
		"в SignedInfo должна быть ссылка на SignedProperties этой же подписи с Type http://uri.etsi.org/01903#SignedProperties"}},
	{report.XAdESCertificate, Sentence{"write the digest, issuer and serial number of the signer's certificate into SigningCertificateV2",
		"запишите в SigningCertificateV2 хэш, издателя и серийный номер сертификата подписанта"}},
	{report.CMSContentType, Sentence{"make the contentType attribute equal to eContentType",
		"значение атрибута contentType должно совпадать с eContentType"}},
	{report.CMSContent, Sentence{"give the content of a detached signature (--content); of an attached one, nothing else",
		"укажите данные отсоединённой подписи (--content); для присоединённой дополнительные данные не нужны"}},
	{report.CMSSigner, Sentence{"put the signer's certificate into the message, or give it (--certificate)",
		"включите сертификат подписанта в сообщение или укажите его (--certificate)"}},
	{report.CMSDigestMethod, Sentence{"name the hash of the key: GOST R 34.11-2012 of 256 or 512 bits",
		"указывайте хэш-функцию, соответствующую ключу: ГОСТ Р 34.11-2012 с длиной 256 или 512 бит"}},
	{report.CMSAttributes, Sentence{"encode the signed attributes in DER: sorted, each once, contentType and messageDigest among them",
		"кодируйте подписываемые атрибуты по DER: упорядоченно, без повторов, обязательно contentType и messageDigest"}},
	{report.CMSAlgorithmProtection, Sentence{"write the algorithms of the SignerInfo into cmsAlgorithmProtection, or leave it out",
		"запишите в cmsAlgorithmProtection алгоритмы из SignerInfo или не добавляйте этот атрибут"}},
	{report.CMSSigningCertificate, Sentence{"write the hash of the signer's certificate into signingCertificateV2",
		"запишите в signingCertificateV2 хэш сертификата подписанта"}},
	{report.CertTime, Sentence{"sign with a certificate that is valid; for an old signature, give the time to judge at (--time) or use time-stamps",
		"подписывайте действующим сертификатом; для старой подписи укажите момент проверки (--time) или применяйте метки времени"}},
	{report.CertKeyPeriod, Sentence{"get a new key and certificate: the private key may be used for a shorter time than the certificate is valid",
		"получите новый ключ и сертификат: срок действия ключа подписи короче срока действия сертификата"}},
	{report.CertUsage, Sentence{"sign with a certificate whose key usage has digitalSignature or nonRepudiation",
		"подписывайте сертификатом, в KeyUsage которого есть digitalSignature или nonRepudiation"}},
	{report.CertPath, Sentence{"give the certificates of the authorities (--anchors, --intermediates), or send them along with the signature",
		"укажите сертификаты удостоверяющих центров (--anchors, --intermediates) или передавайте их вместе с подписью"}},
	{report.CertRevoked, Sentence{"sign with another certificate: this one was revoked",
		"подписывайте другим сертификатом: этот отозван"}},
	{report.CertRevocation, Sentence{"give a current CRL, or let the service fetch one",
		"укажите актуальный список отзыва (CRL) или разрешите службе его загружать"}},
}

// adviceFor returns what usually helps against a code.
func adviceFor(code report.Code) (Advice, bool) {
	i := slices.IndexFunc(advices, func(a Advice) bool { return a.Code == code })
	if i < 0 {
		return Advice{}, false
	}
	return advices[i], true
}

// Advice is what to do about the failed checks that no finding explains, each code once, in the order of the report.
func (e *Explanation) Advice() []Advice {
	var out []Advice
	codes := []report.Code{}
	for _, c := range e.Report.Failures() {
		codes = append(codes, c.Code)
	}
	if len(e.Report.Signatures) == 0 {
		codes = append(codes, report.SignatureNone)
	}
	for _, code := range codes {
		a, ok := adviceFor(code)
		if !ok || slices.Contains(out, a) || slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Code == code }) {
			continue
		}
		out = append(out, a)
	}
	return out
}
