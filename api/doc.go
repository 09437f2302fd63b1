// Package api serves epov.v1 over gRPC. It decodes requests, finds out who calls, asks package signer and encodes the answer;
// it decides nothing itself. The messages are in package epovpb, their meaning is documented in epov.proto.
package api
