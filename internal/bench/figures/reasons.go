package main

// reasons say what limits a figure, and why it is where it is. One is shown below the table of a group when the figure is below its
// line or its goal. What a reason says was measured; docs/performance.md has it at length.
var reasons = map[string]string{
	"gost/streebog-table":              "An extraction and a load for each octet, 18.5 cycles an octet; tables of two octets would not fit the first-level cache.",
	"gost/streebog-portable":           "The same in what the compiler makes of Go: four instructions where assembly takes 2.4.",
	"gost/verify256-cold":              "256 doublings of eight products each cannot be spared for an unknown key and are two thirds of the time; products are bound by the one multiplication of words that the processor starts each cycle. The ratio goes with the peer's time, which varies by a fifth.",
	"gost/verify256tc26-cold":          "The peer is twice as fast on this curve as on that of CryptoPro-A; the Edwards form makes ours faster by a quarter, and the doublings remain.",
	"gost/verify512-cold":              "As with 256 bits: 512 doublings, of products that take four times as long.",
	"gost/verify256-prepared":          "58 additions and an inversion are left, which takes 2.3 of 11 µs and which no table shortens. Several signatures at once share it: verify256-batch.",
	"gost/verify256tc26-prepared":      "As verify256-prepared; the peer is twice as fast on this curve.",
	"gost/verify256-batch":             "Multiplications are little more than half of the time; cutting scalars, finding entries and the inversion are the rest.",
	"gost/sign256":                     "Constant time: each of the tables is read whole, whichever entry is needed.",
	"canon/libxml2-2k":                 "100 to 200 cycles go to each token, half to the tokenizer and half to the form; its branches follow the document, and what they cost is what is left. Short messages have many tokens to the octet.",
	"canon/libxml2-20k":                "As for 2 KB.",
	"canon/libxml2-1m":                 "As for 2 KB.",
	"canon/libxml2-20m":                "As for 2 KB.",
	"canon/goxmldsig-20k":              "As for 2 KB.",
	"canon/smev-fused":                 "Both sides are our own code: what makes the scan faster makes the chain of two passes faster as well.",
	"signer/sign-smev3-10k":            "Of 95 µs Streebog takes 36 and the value's verification 10; the rest is one pass of tokenizer, canonical form and SMEV's transform, without a peak left. The peer neither looks for equal Ids nor checks what must be covered nor verifies what it made.",
	"signer/verify-smev3-10k":          "As signing; and a report of all checks is made, which the peer does not.",
	"hsm/crossing":                     "Changing to the stack of C and back takes 60 ns, the rest is the module's own.",
	"hsm/worker-cost-us":               "A process of its own is a wake-up each way, nearly all of it the kernel's; spinning before sleeping made nothing faster.",
	"hsm/submit-softhsm":               "Each signature is verified before its release, 7 to 8 parts of 100, on the processors that SoftHSM computes on; changing threads takes most of the rest. A token of hardware leaves the processors free: submit-slow.",
	"hsm/submit-slow":                  "What is left is the time between one call's end and the next one's beginning in the same session.",
	"hsm/overload-goodput":             "What is admitted and then too late was signed for nothing.",
	"hsm/overload-p99":                 "Who is admitted may wait as long as his deadline allows; twice the p99 at the knee is what these callers give.",
	"hsm/recovery-dead-session":        "One session is closed and one opened; the slowest of seven counts, and with it whatever else the machine does.",
	"hsm/recovery-lost-login":          "A login writes a record to the disk before the PIN is tried and after; the disk's time is in it.",
	"hsm/recovery-replug":              "A token that is away is asked for ever more rarely, at last about each half second.",
	"hsm/recovery-dead-session-worker": "As in process, with two wake-ups of the module's process for each call.",
	"hsm/recovery-lost-login-worker":   "As in process: the disk.",
	"hsm/recovery-replug-worker":       "As in process.",
	"hsm/recovery-hang":                "Of the 2 s, the limit for one call of the module takes 1 s before it counts as hanging; then its process is ended and the spare one signs.",
	"service/signxml-unary":            "An echo has nothing of it but gRPC and TLS. What no implementation can leave out, an echo that canonicalizes and hashes the message once and verifies one signature, is above 1.75 already: service/signxml-floor. On top of it come the scan for Ids and signatures, the document's splicing, the checks, the queue and the way to the module's process.",
	"service/signxml-stream":           "As for single calls, beside an echo that is cheaper still; service/signxml-stream-floor is the bound.",
	"service/softhsm":                  "Client, gRPC, XML, hashing and verification want the processors that SoftHSM computes on; the bare loop does nothing but sign. An echo that has the token sign and does nothing else is the bound: service/softhsm-floor. On a token of hardware the daemon does not bound it: docs/load.md, by sessions.",
	"service/verifyxml":                "Measured with the client, which has TLS and gRPC to do as well, on the same two processors.",
	"service/audit-throughput":         "Each record is on the disk before its signature is released. On a token that takes no time nothing hides that; the log's own work takes processor time from the rest.",
	"service/audit-latency-ms":         "What the disk takes to make a group of records durable.",
	"service/three-nodes":              "The client's balancing takes turns; a node is idle when its turn is late.",
	"service/rest-mib":                 "Half of it are pages of the program itself, 12 MiB the daemon's own, 3 MiB each the module's process and its spare, which stands by so that a crash costs milliseconds.",
	"service/start-s":                  "The token's own start, and the first signature on it.",
}

// short reports whether a figure falls short of its line or its goal.
func (l line) short() bool {
	below := func(bound float64) bool {
		return bound != 0 && (l.lower && l.value > bound || !l.lower && l.value < bound)
	}
	return below(l.solid) || below(l.moonshot)
}
