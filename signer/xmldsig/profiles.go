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
	actor      string   // of the wsse:Security that holds the Signature and, as a token, the certificate
	properties bool     // an Object carries XAdES QualifyingProperties
	stamped    bool     // and a time-stamp, which [AddTimeStamp] adds to what Complete returns
	node       *Profile // of SMEV itself: who expects this profile in a message expects that one too
}

// placement is where a profile puts the Signature.
type placement uint8

const (
	inWrapper  placement = iota // alone in the wrapper that the table of SMEV 3 names
	inSecurity                  // in the wsse:Security header of an actor
	firstChild                  // first child of the signed element
	lastChild                   // last child of the signed element
	around                      // the root, with the signed content in its Object
	apart                       // last child of the root, or a document of its own
)

// tabled tells whether the places and the coverage of a profile are in rules.
func (p *Profile) tabled() bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.profile == p })
}

// expects tells whether a message that is held against the profile is held against a row.
func (p *Profile) expects(r *rule) bool {
	return r.profile == p || p.node != nil && r.profile == p.node
}

// Stamped tells whether a signature of the profile has a time-stamp. Prepare and Complete make it without: take the octets
// of [TimeStampInput] to an authority, and its answer to [AddTimeStamp].
func (p *Profile) Stamped() bool { return p.stamped }

// targeted tells whether a Target means something to a verifier.
func (p *Profile) targeted() bool {
	return p.place == firstChild || p.place == lastChild || p.place == apart
}

// Chains of transforms.
var (
	chainSMEV3     = []string{canon.ExclusiveURI, canon.SMEVURI}
	chainExclusive = []string{canon.ExclusiveURI}
	chainEnveloped = []string{canon.EnvelopedURI, canon.ExclusiveURI}
	chainShared    = []string{canon.XPathURI, canon.ExclusiveURI} // not(ancestor-or-self::ds:Signature)
)

// The profiles.
var (
	SMEV3 = &Profile{
		Name: "smev3", Title: "SMEV 3, the signature of the calling system (EP-OV), by the operation in the message",
		place: inWrapper, transforms: chainSMEV3, node: SMEV3Node,
	}
	SMEV3Personal = &Profile{
		Name: "smev3-personal", Title: "SMEV 3, PersonalSignature of an official (EP-SP) over the primary content",
		place: inWrapper, transforms: chainSMEV3,
	}
	SMEV3Node = &Profile{
		Name: "smev3-node", Title: "SMEV 3, SMEVSignature of SMEV itself over what it delivers",
		place: inWrapper, transforms: chainSMEV3,
	}
	SMEV2 = &Profile{
		Name: "smev2", Title: "SMEV 2, WS-Security header of actor smev over soap:Body (EP-OV)",
		place: inSecurity, transforms: chainExclusive, actor: actorSMEV, node: SMEV2Node,
	}
	SMEV2SP = &Profile{
		Name: "smev2-sp", Title: "SMEV 2, signature of an official (EP-SP) enveloped in smev:AppData",
		place: firstChild, transforms: chainEnveloped,
	}
	SMEV2Node = &Profile{
		Name: "smev2-node", Title: "SMEV 2, WS-Security header of actor recipient over soap:Body and smev:Header (a node of SMEV)",
		place: inSecurity, transforms: chainExclusive, actor: actorRecipient,
	}
	GISGMP = &Profile{
		Name: "gisgmp", Title: "GIS GMP 1.16, enveloped in the request or one of its entities, as the last child",
		place: lastChild, transforms: chainEnveloped,
	}
	Enveloped = &Profile{
		Name: "enveloped", Title: "XMLDSig inside the signed element: the root, or the one that Target names",
		place: lastChild, transforms: chainEnveloped,
	}
	Shared = &Profile{
		Name: "enveloped-shared", Title: "as enveloped, but without any signature in it: several parties sign the same in turn",
		place: lastChild, transforms: chainShared,
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
	XAdEST = &Profile{
		Name: "xades-t", Title: "XAdES-T: XAdES-BES with a time-stamp of the signature value",
		place: lastChild, transforms: chainEnveloped, properties: true, stamped: true,
	}
)

// Profiles is the whole list.
var Profiles = []*Profile{
	SMEV3, SMEV3Personal, SMEV3Node, SMEV2, SMEV2SP, SMEV2Node, GISGMP, Enveloped, Shared, Enveloping, Detached, XAdESBES, XAdEST,
}

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
	ids      []string // given to the covered elements that have none
	after    string   // a missing wrapper goes behind this sibling, or to the end
	required bool     // a message that holds the wrapper's parent must hold the Signature
	node     bool     // it is made by SMEV itself
}

const (
	caller   = "CallerInformationSystemSignature"
	sender   = "SenderInformationSystemSignature"
	personal = "PersonalSignature"
	smev     = "SMEVSignature"

	byConsumer, byProvider, byCaller, bySMEV = "SIGNED_BY_CONSUMER", "SIGNED_BY_PROVIDER", "SIGNED_BY_CALLER", "SIGNED_BY_SMEV"
)

// rules: SMEV 3 by the recommendations on working with ESMEV (3.3) and schemas 1.1 to 1.3; SMEV 2 by the recommendations 2.x,
// sections 4.3, 4.4 and 5.1.
var rules = []rule{
	// What a system sends.
	{profile: SMEV3, name: caller, wrapper: "t:SendRequestRequest/t:" + caller, required: true,
		covers: []string{"t:SendRequestRequest/t:SenderProvidedRequestData"}, ids: []string{byConsumer}},
	{profile: SMEV3, name: caller, wrapper: "t:SendResponseRequest/t:" + caller, required: true,
		covers: []string{"t:SendResponseRequest/t:SenderProvidedResponseData"}, ids: []string{byProvider}},
	{profile: SMEV3, name: caller, wrapper: "t:GetRequestRequest/t:" + caller, required: true,
		covers: []string{"t:GetRequestRequest/b:MessageTypeSelector"}, ids: []string{byCaller}},
	{profile: SMEV3, name: caller, wrapper: "t:GetResponseRequest/t:" + caller, required: true,
		covers: []string{"t:GetResponseRequest/b:MessageTypeSelector"}, ids: []string{byCaller}},
	{profile: SMEV3, name: caller, wrapper: "t:AckRequest/t:" + caller, required: true,
		covers: []string{"t:AckRequest/b:AckTargetMessage"}, ids: []string{byCaller}},
	{profile: SMEV3, name: caller, wrapper: "t:GetStatusRequest/t:" + caller, required: true,
		covers: []string{"t:GetStatusRequest/b:Timestamp"}, ids: []string{byCaller}},
	{profile: SMEV3, name: caller, wrapper: "t:GetIncomingQueueStatisticsRequest/t:" + caller, required: true,
		covers: []string{"t:GetIncomingQueueStatisticsRequest/b:Timestamp"}, ids: []string{byCaller}},

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
	{profile: SMEV3Node, name: smev, node: true, wrapper: "t:SendRequestResponse/t:" + smev, required: true,
		covers: []string{"t:SendRequestResponse/t:MessageMetadata"}, ids: []string{bySMEV}},
	{profile: SMEV3Node, name: smev, node: true, wrapper: "t:SendResponseResponse/t:" + smev, required: true,
		covers: []string{"t:SendResponseResponse/t:MessageMetadata"}, ids: []string{bySMEV}},
	{profile: SMEV3Node, name: smev, node: true, wrapper: "t:GetRequestResponse/t:RequestMessage/t:" + smev, required: true,
		covers: []string{"t:GetRequestResponse/t:RequestMessage/t:Request"}, ids: []string{bySMEV}},
	{profile: SMEV3, name: sender, wrapper: "t:GetRequestResponse/t:RequestMessage/t:Request/t:" + sender, required: true,
		covers: []string{"t:GetRequestResponse/t:RequestMessage/t:Request/t:SenderProvidedRequestData"}},
	{profile: SMEV3Node, name: smev, node: true, wrapper: "t:GetResponseResponse/t:ResponseMessage/t:" + smev, required: true,
		covers: []string{"t:GetResponseResponse/t:ResponseMessage/t:Response"}, ids: []string{bySMEV}},
	{profile: SMEV3, name: sender, wrapper: "t:GetResponseResponse/t:ResponseMessage/t:Response/t:" + sender,
		covers: []string{"t:GetResponseResponse/t:ResponseMessage/t:Response/t:SenderProvidedResponseData"}},
	{profile: SMEV3Node, name: smev, node: true, wrapper: "t:GetStatusResponse/t:SmevAsyncProcessingMessage/t:" + smev, required: true,
		covers: []string{"t:GetStatusResponse/t:SmevAsyncProcessingMessage/t:AsyncProcessingStatusData"}, ids: []string{bySMEV}},

	// SMEV 2: the sender's header, the node's header, an official's signature in the data.
	{profile: SMEV2, name: "wsse:Security[actor smev]", wrapper: "soap:Envelope/soap:Header/wsse:Security[smev]",
		covers: []string{"soap:Envelope/soap:Body"}, ids: []string{"body"}},
	{profile: SMEV2Node, name: "wsse:Security[actor recipient]", node: true, wrapper: "soap:Envelope/soap:Header/wsse:Security[recipient]",
		covers: []string{"soap:Envelope/soap:Header/smev:Header", "soap:Envelope/soap:Body"}, ids: []string{"smevheader", "body"}},
	{profile: SMEV2SP, name: "smev:AppData/ds:Signature", wrapper: appData, covers: []string{appData}, ids: []string{"AppData"}},

	// GIS GMP 1.16: the request, a package, a charge, a payment.
	{profile: GISGMP, name: "gisgmp/ds:Signature", wrapper: entity, covers: []string{entity}},
}

// appData stands for the smev:AppData that holds the Signature, wherever the service puts it under soap:Body.
const appData = "smev:AppData"

// entity stands for the element of GIS GMP that holds the Signature, wherever it is.
const entity = "gisgmp:*"

// officials is the row of an official's signature in SMEV 2.
var officials = &rules[slices.IndexFunc(rules, func(r rule) bool { return r.wrapper == appData })]

// wrappers are the elements in which rules have signatures.
var wrappers = func() map[string]bool {
	all := map[string]bool{}
	for _, r := range rules {
		if _, name := split(r.wrapper); name != entity {
			all[name] = true
		}
	}
	return all
}()

// signedPaths are the places of the elements that rules have signed, by name.
var signedPaths = func() map[string][]string {
	all := map[string][]string{}
	for _, r := range rules {
		for _, path := range r.covers {
			if _, name := split(path); path != appData && path != entity && name != "*" {
				all[name] = append(all[name], path)
			}
		}
	}
	return all
}()
