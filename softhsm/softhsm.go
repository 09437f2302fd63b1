// Package softhsm gives tests and demonstrations a fresh, isolated PKCS#11 token: SoftHSM 2.6.1 built with GOST.
package softhsm

import "testing"

// Token is an initialised token of its own configuration and folder.
type Token struct {
	Module string // path of the PKCS#11 library
	Conf   string // path of its configuration; the module reads it from SOFTHSM2_CONF
	Label  string
	Serial string
	PIN    string // user PIN, random
	SOPIN  string
}

// New makes a token, cleaned up with the test. The process environment's SOFTHSM2_CONF points to it from then on, so tests
// with tokens do not run in parallel within one process unless they share one token.
func New(tb testing.TB) *Token { panic("skeleton") }

// WriteConf makes an empty token store in dir and returns the path of its configuration, which SOFTHSM2_CONF must name
// before the module is loaded.
func WriteConf(dir string) (string, error) { panic("skeleton") }

// Module is the path of the library: $EPOV_SOFTHSM, else .build/softhsm under the root of the module that the working
// directory is in; empty when there is none.
func Module() string { panic("skeleton") }
