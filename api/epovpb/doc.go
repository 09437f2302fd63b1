// Package epovpb is the gRPC API epov.v1: messages, clients and the interfaces of servers, generated of the .proto files in its
// folder by `make proto`. epov.proto holds what clients use; audit.proto receipts and checkpoints of the audit log; monitor.proto
// what the service says of itself; admin.proto what administrators and officers do. docs/api.md has their comments in one page, and
// surface.txt every name and number that callers rely on: none of them goes.
package epovpb
