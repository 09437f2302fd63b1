// Package daemon joins the parts of epovd: it reads the configuration, opens tokens, builds the key ring, starts the server,
// watches the tokens, and stops all of it in order. It is the only place that knows everyone.
package daemon
