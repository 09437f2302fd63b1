// Package observe makes what the daemon does visible: Prometheus metrics, OpenTelemetry traces, a state that can be looked at
// live, and a log that keeps secrets to itself.
//
// Nothing here asks a token: it counts what passes, and tells what the scheduler knows anyway.
package observe
