// Package gost implements the Russian signature standards as X.509, CMS and XMLDSig use them: GOST R 34.10-2001 and
// 34.10-2012 with their hashes, keys, certificates and certification requests.
package gost
