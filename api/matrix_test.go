package api

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
)

// needs says which operation each method takes; "any": any client may call it. Streams with several kinds of items say the
// operation of the item that opening sends.
var needs = map[string]struct {
	op      signer.Operation
	opening proto.Message
}{
	"SignService.SignXml": {op: signer.OpSignXML, opening: &epovpb.SignXmlRequest{Key: matrixKey}},
	"SignService.SignCms": {op: signer.OpSignCMS,
		opening: &epovpb.SignCmsRequest{Key: matrixKey, Source: &epovpb.SignCmsRequest_Content{}}},
	"SignService.CheckSign": {op: signer.OpSignXML,
		opening: &epovpb.CheckSignRequest{Key: matrixKey, Profile: "smev3", Source: &epovpb.CheckSignRequest_Document{}}},
	"SignService.SignDigest": {op: signer.OpSignDigest, opening: &epovpb.SignDigestRequest{Key: matrixKey}},
	"SignService.SignCmsStream": {op: signer.OpSignCMS, opening: &epovpb.SignCmsStreamRequest{
		Part: &epovpb.SignCmsStreamRequest_Header{Header: &epovpb.SignCmsHeader{Key: matrixKey}}}},
	"SignService.SignBatch":   {op: "any"}, // each item answers for itself
	"VerifyService.VerifyXml": {op: signer.OpVerify},
	"VerifyService.VerifyCms": {op: signer.OpVerify},
	"VerifyService.VerifyCmsStream": {op: signer.OpVerify, opening: &epovpb.VerifyCmsStreamRequest{
		Part: &epovpb.VerifyCmsStreamRequest_Header{Header: &epovpb.VerifyCmsHeader{}}}},
	"VerifyService.VerifyBatch":   {op: "any"},
	"VerifyService.Explain":       {op: signer.OpVerify},
	"KeyService.ListKeys":         {op: signer.OpList},
	"KeyService.GetKey":           {op: signer.OpList, opening: &epovpb.GetKeyRequest{Key: matrixKey}},
	"KeyService.WatchKeys":        {op: signer.OpList},
	"AuditService.GetReceipt":     {op: "any"}, // of the caller's own records
	"AuditService.GetCheckpoint":  {op: "any"},
	"InfoService.GetCapabilities": {op: "any"},
	"MonitorService.GetState":     {op: signer.OpMonitor},
	"MonitorService.WatchState":   {op: signer.OpMonitor},
	"MonitorService.SignCanary":   {op: signer.OpCanary, opening: &epovpb.SignCanaryRequest{Key: matrixKey}},
	"AdminService.Drain":          {op: signer.OpAdmin},
	"AdminService.Undrain":        {op: signer.OpAdmin},
	"AdminService.Reload":         {op: signer.OpAdmin},
	"AdminService.GetAdminState":  {op: signer.OpMonitor},
	"AdminService.StageKey":       {op: signer.OpAdminKeys, opening: &epovpb.StageKeyRequest{Key: matrixKey + "/versions/1"}},
	"AdminService.ActivateKey":    {op: signer.OpAdminKeys, opening: &epovpb.ActivateKeyRequest{Key: matrixKey + "/versions/1"}},
	"AdminService.RetireKey":      {op: signer.OpAdminKeys, opening: &epovpb.RetireKeyRequest{Key: matrixKey + "/versions/1"}},
	"AdminService.DisableKey":     {op: signer.OpAdminKeys, opening: &epovpb.DisableKeyRequest{Key: matrixKey + "/versions/1"}},
}

const matrixKey = "keys/EXMP01/ov"

// Every method of the API against every operation: it is denied to those who have all the others, and to those who have its own
// it is not. A new method without a row fails.
func TestOperationMatrix(t *testing.T) {
	w := newWorld(t, Limits{})
	var roles []signer.Role
	var clients []signer.Client
	add := func(name string, ops []signer.Operation) {
		roles = append(roles, signer.Role{Name: name, Grants: []signer.Grant{{Keys: []string{"keys/*"}, Operations: ops}}})
		clients = append(clients, signer.Client{Name: name, SANs: []string{name + ".example.ru"}, Roles: []string{name}})
	}
	for _, op := range signer.Operations {
		add("only-"+string(op), []signer.Operation{op})
		add("not-"+string(op), slices.DeleteFunc(slices.Clone(signer.Operations), func(o signer.Operation) bool { return o == op }))
	}
	access, err := signer.NewAccess(roles, clients)
	if err != nil {
		t.Fatal(err)
	}
	w.server.signing.SetAccess(access)
	admin := &world{tls: w.tls, ring: w.ring, log: w.log}
	admin.server, err = New(Config{Service: w.server.signing, Operator: idleOperator{},
		TLS: MutualTLS(w.tls.NewServer(t, "epovd.test"), w.tls.Pool())})
	if err != nil {
		t.Fatal(err)
	}
	admin.serve(t)
	conns := map[string][2]*client{}
	for _, c := range clients {
		conns[c.Name] = [2]*client{w.dial(t, c.SANs[0]), admin.dial(t, c.SANs[0])}
	}
	rows := 0
	for _, file := range []protoreflect.FileDescriptor{
		epovpb.File_epov_v1_epov_proto, epovpb.File_epov_v1_audit_proto, epovpb.File_epov_v1_monitor_proto, epovpb.File_epov_v1_admin_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				name := string(service.Name()) + "." + string(m.Name())
				row, ok := needs[name]
				if !ok {
					t.Errorf("%s has no row: which operation does it need?", name)
					continue
				}
				rows++
				at := 0
				if service.Name() == "AdminService" {
					at = 1
				}
				for _, op := range signer.Operations {
					for _, who := range []string{"only-", "not-"} {
						got := ask(t, conns[who+string(op)][at], m, row.opening)
						granted := row.op == "any" || (who == "only-") == (row.op == op)
						if (got != codes.PermissionDenied) != granted {
							t.Errorf("%s by a client with %s%s: %v", name, who, op, got)
						}
					}
				}
			}
		}
	}
	if rows != len(needs) {
		t.Errorf("%d methods for %d rows: a row is of no method", rows, len(needs))
	}
}

// ask calls a method of any kind and tells how it ends, or that it has begun to answer.
func ask(t *testing.T, c *client, m protoreflect.MethodDescriptor, opening proto.Message) codes.Code {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/"+string(m.Parent().FullName())+"/"+string(m.Name()))
	if err != nil {
		return status.Code(err)
	}
	if opening == nil {
		opening = dynamicpb.NewMessage(m.Input())
	}
	if !m.IsStreamingClient() || !strings.HasSuffix(string(m.Name()), "Batch") {
		_ = s.SendMsg(opening)
	}
	_ = s.CloseSend()
	err = s.RecvMsg(dynamicpb.NewMessage(m.Output()))
	if err == io.EOF {
		return codes.OK
	}
	return status.Code(err)
}
