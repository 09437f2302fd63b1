// Package api serves epov.v1 over gRPC. It decodes requests, finds out who calls, asks package signer and encodes the answer;
// it decides nothing itself. The messages are in package epovpb; what they mean is in its .proto files and in docs/api.md.
//
// Before a call reaches the service it has passed the [Limits], and its client's certificate has been held against the authorities
// and the policy that are in force at that moment. Whatever goes wrong becomes a gRPC status with a stable reason and, where it
// helps, the time to wait.
//
// A [Server] serves epov.v1 and the health service or, with an [Operator], the administration service and nothing else.
package api
