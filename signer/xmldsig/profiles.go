package xmldsig

import (
	"slices"

	"github.com/epov-signer/epov/canon"
)

// Profile says how a signature is made, and what a verifier must find: what it covers, through which transforms, where it
// sits, what KeyInfo holds. Profiles are immutable and safe for concurrent use; the list is Profiles.
type Profile struct {
	// Name as configuration and requests write it.
	Name string
	// Title says in a few words what the profile is for.
	Title string

	place      placement
	transforms []string // of the Reference to the content
	token      bool     // KeyInfo points to a wsse:BinarySecurityToken instead of holding the certificate
	properties bool     // an Object carries XAdES QualifyingProperties
}

// placement is where a profile puts the Signature.
type placement uint8

const (
	inWrapper  placement = iota // alone in the wrapper that the table of SMEV 3 names
	inSecurity                  // in the wsse:Security header of actor smev
	firstChild                  // first child of the signed element
	lastChild                   // last child of the signed element
	around                      // the root, with the signed content in its Object
	apart                       // last child of the root, or a document of its own
)

// tabled tells whether the places and the coverage of a profile are in rules.
func (p *Profile) tabled() bool {
	return p.place == inWrapper || p.place == inSecurity || p.place == firstChild
}

// targeted tells whether a Target means something to a verifier.
func (p *Profile) targeted() bool {
	return p.place == firstChild || p.place == lastChild || p.place == apart
}

// Chains of transforms.
var (
	chainSMEV3     = []string{canon.ExclusiveURI, canon.SMEVURI}
	chainExclusive = []string{canon.ExclusiveURI}
	chainEnveloped = []string{canon.EnvelopedURI, canon.ExclusiveURI}
)

// The profiles.
var (
	SMEV3 = &Profile{
		Name: "smev3", Title: "SMEV 3, the signature of the calling system (EP-OV), by the operation in the message",
		place: inWrapper, transforms: chainSMEV3,
	}
	SMEV3Personal = &Profile{
		Name: "smev3-personal", Title: "SMEV 3, PersonalSignature of an official (EP-SP) over the primary content",
		place: inWrapper, transforms: chainSMEV3,
	}
	SMEV2 = &Profile{
		Name: "smev2", Title: "SMEV 2, WS-Security header of actor smev over soap:Body (EP-OV)",
		place: inSecurity, transforms: chainExclusive, token: true,
	}
	SMEV2SP = &Profile{
		Name: "smev2-sp", Title: "SMEV 2, signature of an official (EP-SP) enveloped in smev:AppData",
		place: firstChild, transforms: chainEnveloped,
	}
	Enveloped = &Profile{
		Name: "enveloped", Title: "XMLDSig inside the signed element: the root, or the one that Target names",
		place: lastChild, transforms: chainEnveloped,
	}
	Enveloping = &Profile{
		Name: "enveloping", Title: "XMLDSig around the signed content: the document's root becomes its Object",
		place: around, transforms: chainExclusive,
	}
	Detached = &Profile{
		Name: "detached", Title: "XMLDSig beside the element \"#id\" that Target names, or over content that stays outside",
		place: apart, transforms: chainExclusive,
	}
	XAdESBES = &Profile{
		Name: "xades-bes", Title: "XAdES-BES, enveloped, with SigningTime and SigningCertificateV2",
		place: lastChild, transforms: chainEnveloped, properties: true,
	}
)

// Profiles is the whole list.
var Profiles = []*Profile{SMEV3, SMEV3Personal, SMEV2, SMEV2SP, Enveloped, Enveloping, Detached, XAdESBES}

// ProfileByName finds a profile; nil when there is none.
func ProfileByName(name string) *Profile {
	for _, p := range Profiles {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// rule is a row of the table of what covers what in SMEV messages: a Signature in wrapper must cover exactly one element per
// path in covers. Paths start at the operation (SMEV 3: child of soap:Body, or the root), or at soap:Envelope; every step
// must be the only one of its name. "*" is any element.
type rule struct {
	profile  *Profile
	name     string
	wrapper  string
	covers   []string
	id       string // the Id that is given to the covered element when it has none
	after    string // a missing wrapper goes behind this sibling, or to the end
	required bool   // a message that holds the wrapper's parent must hold the Signature
	node     bool   // it is made by SMEV itself
}

const (
	caller   = "CallerInformationSystemSignature"
	sender   = "SenderInformationSystemSignature"
	personal = "PersonalSignature"
	smev     = "SMEVSignature"

	byConsumer, byProvider, byCaller = "SIGNED_BY_CONSUMER", "SIGNED_BY_PROVIDER", "SIGNED_BY_CALLER"
)

// rules: SMEV 3 by the recommendations on working with ESMEV (3.3) and schemas 1.1 to 1.3; SMEV 2 by the recommendations 2.x,
// sections 4.3, 4.4 and 5.1.
var rules = []rule{
	// What a system sends.
	{profile: SMEV3, name: caller, wrapper: "t:SendRequestRequest/t:" + caller, required: true,
		covers: []string{"t:SendRequestRequest/t:SenderProvidedRequestData"}, id: byConsumer},
	{profile: SMEV3, name: caller, wrapper: "t:SendResponseRequest/t:" + caller, required: true,
		covers: []string{"t:SendResponseRequest/t:SenderProvidedResponseData"}, id: byProvider},
	{profile: SMEV3, name: caller, wrapper: "t:GetRequestRequest/t:" + caller, required: true,
		covers: []string{"t:GetRequestRequest/b:MessageTypeSelector"}, id: byCaller},
	{profile: SMEV3, name: caller, wrapper: "t:GetResponseRequest/t:" + caller, required: true,
		covers: []string{"t:GetResponseRequest/b:MessageTypeSelector"}, id: byCaller},
	{profile: SMEV3, name: caller, wrapper: "t:AckRequest/t:" + caller, required: true,
		covers: []string{"t:AckRequest/b:AckTargetMessage"}, id: byCaller},
	{profile: SMEV3, name: caller, wrapper: "t:GetStatusRequest/t:" + caller, required: true,
		covers: []string{"t:GetStatusRequest/b:Timestamp"}, id: byCaller},
	{profile: SMEV3, name: caller, wrapper: "t:GetIncomingQueueStatisticsRequest/t:" + caller, required: true,
		covers: []string{"t:GetIncomingQueueStatisticsRequest/b:Timestamp"}, id: byCaller},

	// An official's signature over the content, sent or received.
	{profile: SMEV3Personal, name: personal, after: "b:MessagePrimaryContent",
		wrapper: "t:SendRequestRequest/t:SenderProvidedRequestData/t:" + personal,
		covers:  []string{"t:SendRequestRequest/t:SenderProvidedRequestData/b:MessagePrimaryContent/*"}},
	{profile: SMEV3Personal, name: personal, after: "b:MessagePrimaryContent",
		wrapper: "t:SendResponseRequest/t:SenderProvidedResponseData/t:" + personal,
		covers:  []string{"t:SendResponseRequest/t:SenderProvidedResponseData/b:MessagePrimaryContent/*"}},
	{profile: SMEV3Personal, name: personal,
		wrapper: "t:GetRequestResponse/t:RequestMessage/t:Request/t:SenderProvidedRequestData/t:" + personal,
		covers:  []string{"t:GetRequestResponse/t:RequestMessage/t:Request/t:SenderProvidedRequestData/b:MessagePrimaryContent/*"}},
	{profile: SMEV3Personal, name: personal,
		wrapper: "t:GetResponseResponse/t:ResponseMessage/t:Response/t:SenderProvidedResponseData/t:" + personal,
		covers:  []string{"t:GetResponseResponse/t:ResponseMessage/t:Response/t:SenderProvidedResponseData/b:MessagePrimaryContent/*"}},

	// What a system receives.
	{profile: SMEV3, name: smev, node: true, wrapper: "t:SendRequestResponse/t:" + smev, required: true,
		covers: []string{"t:SendRequestResponse/t:MessageMetadata"}},
	{profile: SMEV3, name: smev, node: true, wrapper: "t:SendResponseResponse/t:" + smev, required: true,
		covers: []string{"t:SendResponseResponse/t:MessageMetadata"}},
	{profile: SMEV3, name: smev, node: true, wrapper: "t:GetRequestResponse/t:RequestMessage/t:" + smev, required: true,
		covers: []string{"t:GetRequestResponse/t:RequestMessage/t:Request"}},
	{profile: SMEV3, name: sender, wrapper: "t:GetRequestResponse/t:RequestMessage/t:Request/t:" + sender, required: true,
		covers: []string{"t:GetRequestResponse/t:RequestMessage/t:Request/t:SenderProvidedRequestData"}},
	{profile: SMEV3, name: smev, node: true, wrapper: "t:GetResponseResponse/t:ResponseMessage/t:" + smev, required: true,
		covers: []string{"t:GetResponseResponse/t:ResponseMessage/t:Response"}},
	{profile: SMEV3, name: sender, wrapper: "t:GetResponseResponse/t:ResponseMessage/t:Response/t:" + sender,
		covers: []string{"t:GetResponseResponse/t:ResponseMessage/t:Response/t:SenderProvidedResponseData"}},
	{profile: SMEV3, name: smev, node: true, wrapper: "t:GetStatusResponse/t:SmevAsyncProcessingMessage/t:" + smev, required: true,
		covers: []string{"t:GetStatusResponse/t:SmevAsyncProcessingMessage/t:AsyncProcessingStatusData"}},

	// SMEV 2: the sender's header, the node's header, an official's signature in the data.
	{profile: SMEV2, name: "wsse:Security[actor smev]", wrapper: "soap:Envelope/soap:Header/wsse:Security[smev]",
		covers: []string{"soap:Envelope/soap:Body"}, id: "body"},
	{profile: SMEV2, name: "wsse:Security[actor recipient]", node: true, wrapper: "soap:Envelope/soap:Header/wsse:Security[recipient]",
		covers: []string{"soap:Envelope/soap:Body", "soap:Envelope/soap:Header/smev:Header"}},
	{profile: SMEV2SP, name: "smev:AppData/ds:Signature", wrapper: appData, covers: []string{appData}, id: "AppData"},
}

// appData stands for the smev:AppData that holds the Signature, wherever the service puts it under soap:Body.
const appData = "smev:AppData"

// officials is the row of an official's signature in SMEV 2.
var officials = &rules[slices.IndexFunc(rules, func(r rule) bool { return r.wrapper == appData })]

// wrappers are the elements in which rules have signatures.
var wrappers = func() map[string]bool {
	all := map[string]bool{}
	for _, r := range rules {
		_, name := split(r.wrapper)
		all[name] = true
	}
	return all
}()

// signedPaths are the places of the elements that rules have signed, by name.
var signedPaths = func() map[string][]string {
	all := map[string][]string{}
	for _, r := range rules {
		for _, path := range r.covers {
			if _, name := split(path); path != appData && name != "*" {
				all[name] = append(all[name], path)
			}
		}
	}
	return all
}()
