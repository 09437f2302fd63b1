package hsm

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// Vendor says how the tokens of one vendor differ from the standard and from each other. It is data: the list of those that
// are known, in the order in which they are matched, is in vendors.go, one literal to a file. A copy may be changed and named
// in TokenConfig where a device is other than its vendor's profile says.
type Vendor struct {
	Name  string // a word for configurations and logs
	Title string // what people call it
	Match []Match

	// Mechanism256 and Mechanism512 sign a digest of 32 and 64 octets; 0: the token's module has none.
	Mechanism256, Mechanism512 uint

	// PrivateParams says whether the private template of a new key holds the parameters too; by the standard only the public
	// one does.
	PrivateParams Placement
	// PrivateValue is how C_CreateObject takes a private key.
	PrivateValue PrivateForm

	// Sessions is the most that are worth opening at once, the anchor apart.
	Sessions int
	// Serialise has one call of the module at a time, whichever token it is for.
	Serialise bool
	// Pause is kept between two signatures of a token.
	Pause time.Duration
	// CallTime is how long a call of the signing path may take before the module counts as hung.
	CallTime time.Duration

	AlwaysAuthenticate AlwaysAuthenticate
	// Attended are attributes of keys that wait for a person at each signature, with what they wait for.
	Attended []Attended
	// PINFlagsTrusted tells that the token sets COUNT_LOW, FINAL_TRY and LOCKED as it should. Where it is false their absence
	// means nothing; their presence always counts.
	PINFlagsTrusted bool
	// FactoryPINs are public knowledge; a token that still has one is not in production.
	FactoryPINs []string

	// Health is the call that tells whether an idle token is there, and HealthEvery how often it may be made.
	Health      HealthCall
	HealthEvery time.Duration

	// Reinitialise allows C_Finalize and C_Initialize as a remedy.
	Reinitialise bool

	Sandbox Sandbox

	// codes overrides rows of the table in classify.go.
	codes map[p11.Error]outcome
	// private are further attributes that the private template of a new key must hold.
	private []*p11.Attribute
}

// Match tells a vendor's tokens by what they and their library say of themselves. Each part is a pattern of path.Match, in any
// case of letters; an empty one fits everything.
type Match struct {
	Library      string // manufacturer of the library, by C_GetInfo
	Manufacturer string // of the token, by C_GetTokenInfo
	Model        string
}

func (m Match) fits(i p11.TokenInfo) bool {
	for _, p := range [][2]string{
		{m.Library, i.Library.Manufacturer}, {m.Manufacturer, i.Manufacturer}, {m.Model, i.Model},
	} {
		// '/' is a letter like any other in a name.
		name := strings.ReplaceAll(strings.ToLower(p[1]), "/", "_")
		if ok, err := path.Match(strings.ToLower(p[0]), name); p[0] != "" && (err != nil || !ok) {
			return false
		}
	}
	return true
}

// Placement says where the parameters of a new key are put.
type Placement int

const (
	Retried Placement = iota // into the public template; on CKR_TEMPLATE_INCOMPLETE or INCONSISTENT once more into both
	Never                    // into the public template alone
	Always                   // into both
)

// PrivateForm is the order of octets in CKA_VALUE of a private key.
type PrivateForm int

const (
	NoImport     PrivateForm = iota // private keys are made on the token only
	LittleEndian                    // by the standard
	BigEndian
)

// AlwaysAuthenticate is what to make of CKA_ALWAYS_AUTHENTICATE.
type AlwaysAuthenticate int

const (
	ByAttribute AlwaysAuthenticate = iota // the key says so itself
	Forced                                // each key of the token is such a one
	Ignored                               // the attribute is set without a meaning
)

// Attended is an attribute that is true for a key that waits for a person.
type Attended struct {
	Attribute uint
	What      string // "waits for a touch at each signature"
}

// HealthCall is a call that costs the token little.
type HealthCall int

const (
	NoHealthCall  HealthCall = iota // the calls at work tell
	ByTokenInfo                     // C_GetTokenInfo
	BySessionInfo                   // C_GetSessionInfo; goes to the card in some modules and takes a second in others
)

// Sandbox is what a module needs of the system beyond its own library and reading the usual configuration. Paths that do
// not exist are passed over.
type Sandbox struct {
	Families    []string // of sockets: "unix", "inet", "inet6", "netlink"
	Ports       []uint16 // the only ones that it connects to by TCP; none: any, where the family is allowed
	Devices     []string // opened for reading and writing; patterns of path.Match
	Sockets     []string // paths of UNIX sockets that it connects to
	Read        []string // files and folders that it reads
	Write       []string // folders that it writes into
	Environment []string // variables that it reads; one that names a file has that file and its folder opened, Write as Write

	Off    bool // not confined at all
	Demand bool // not started at all where the system cannot confine it wholly
}

// VendorNamed finds a profile by its Name; nil when there is none.
func VendorNamed(name string) *Vendor {
	if i := slices.IndexFunc(vendors, func(v *Vendor) bool { return v.Name == name }); i >= 0 {
		return vendors[i]
	}
	return nil
}

// Vendors lists the profiles in the order in which they are matched; the last one fits every token.
func Vendors() []*Vendor { return slices.Clone(vendors) }

// vendorOf finds the profile of a token.
func vendorOf(i p11.TokenInfo) *Vendor {
	for _, v := range vendors {
		if slices.ContainsFunc(v.Match, func(m Match) bool { return m.fits(i) }) {
			return v
		}
	}
	return &generic
}

// outcome is what becomes of a return code of this vendor's tokens; ok is false where the profile says nothing of it.
func (v *Vendor) outcome(code p11.Error) (o outcome, ok bool) {
	o, ok = v.codes[code]
	return o, ok
}

// isFactory tells whether a PIN is one that the vendor's tokens are delivered with.
func (v *Vendor) isFactory(p PIN) bool {
	return slices.ContainsFunc(v.FactoryPINs, func(known string) bool {
		factory := NewPIN([]byte(known))
		defer factory.Wipe()
		return factory.Equal(p)
	})
}
