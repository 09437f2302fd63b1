// Package daemon joins the parts of epovd: it reads the configuration, opens tokens, builds the key ring, starts the server,
// watches the tokens, and stops all of it in order. It is the only place that knows everyone.
//
// [Load] reads the configuration and names every finding with its place; [Start] brings everything up, [Daemon.Serve] serves until
// its context ends, and [Daemon.Reload] takes over what has changed, part by part, without refusing a call. [Rotate] makes the
// changes of key states for the officer's tool.
package daemon
