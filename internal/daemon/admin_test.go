package daemon

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// newAdministered is a running daemon with an administration socket.
func newAdministered(t *testing.T) (*rotating, epovpb.AdminServiceClient) {
	t.Helper()
	p := newPlant(t)
	r := startRotating(t, p, "primary: 2", "primary: 1", "      - {version: 2, token: main}\n", "",
		"limits: {watch_seconds: 1}", "limits: {watch_seconds: 1}\nadmin: {listen: "+filepath.Join(string(p.folder), "admin.sock")+"}")
	conn, err := grpc.NewClient("unix://"+filepath.Join(string(p.folder), "admin.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return r, epovpb.NewAdminServiceClient(conn)
}

// The daemon writes the states of keys itself: what the officer's tool does, over the administration's socket.
func TestAdminKeys(t *testing.T) {
	r, admin := newAdministered(t)
	ctx := t.Context()
	second, first := version(2).String(), version(1).String()
	refused := func(err error, text string) {
		t.Helper()
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
	_, err := admin.ActivateKey(ctx, &epovpb.ActivateKeyRequest{Key: second})
	refused(err, "stage it first")
	_, err = admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: first})
	refused(err, "is active already")
	_, err = admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: version(9).String()})
	refused(err, "")
	_, err = admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: version(9).String(), Id: "EXMP01/bare/1"})
	refused(err, "has no certificate")
	if _, err := admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: "keys/EXMP01/ov"}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	if _, err := os.Stat(r.d.config.states); err == nil {
		t.Error("something was written")
	}
	if keys := r.d.tokens.Keys(); len(keys) != 2 {
		t.Errorf("%d keys are in service", len(keys))
	}

	if _, err := admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: second}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sign(second); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "staged") {
		t.Errorf("at once: %v", err)
	}
	if _, err := admin.ActivateKey(ctx, &epovpb.ActivateKeyRequest{Key: second}); err != nil {
		t.Fatal(err)
	}
	if out, err := r.sign("keys/EXMP01/ov"); err != nil || out.Key != second {
		t.Error(out, err)
	}
	_, err = admin.RetireKey(ctx, &epovpb.RetireKeyRequest{Key: second})
	refused(err, "activate another one first")
	if _, err := admin.RetireKey(ctx, &epovpb.RetireKeyRequest{Key: first}); err != nil {
		t.Fatal(err)
	}
	// The primary version is disabled, and comes back only by an officer's act.
	if _, err := admin.DisableKey(ctx, &epovpb.DisableKeyRequest{Key: second}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"keys/EXMP01/ov", second} {
		if _, err := r.sign(key); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "key.disabled") {
			t.Errorf("%s: %v", key, err)
		}
	}
	state, err := admin.GetAdminState(ctx, &epovpb.GetAdminStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, k := range state.Keys {
		told = append(told, strings.TrimPrefix(k.Name, "keys/EXMP01/")+" "+k.State)
		if k.Name == second && (!k.Primary || k.Signs || k.Message == "" || len(k.Tokens) != 1) {
			t.Errorf("%v", k)
		}
	}
	if got := strings.Join(told, ", "); got != "ov/versions/1 retired, bare/versions/1 active, ov/versions/2 disabled" {
		t.Error(got)
	}
	if len(state.Tokens) != 1 || state.Tokens[0].State != "ready" || state.Tokens[0].Serial == "" || len(state.Clients) != 2 ||
		state.Clients[0].Client != "gateway" || state.Clients[0].Calls == 0 {
		t.Errorf("%v", state)
	}
	if _, err := admin.ActivateKey(ctx, &epovpb.ActivateKeyRequest{Key: second}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sign("keys/EXMP01/ov"); err != nil {
		t.Error(err)
	}
	// The tool and the daemon agree on the file, and the daemon has nothing to take over from what it wrote itself.
	held, err := Rotate(r.d.config.file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	_, err = admin.DisableKey(ctx, &epovpb.DisableKeyRequest{Key: second})
	refused(err, "somebody else")
	held.Close()
	reloaded, err := admin.Reload(ctx, &epovpb.ReloadRequest{})
	if err != nil || len(reloaded.Parts) != 8 {
		t.Fatal(reloaded, err)
	}
	for _, p := range reloaded.Parts {
		if p.Result != epovpb.ReloadResult_RELOAD_RESULT_UNCHANGED {
			t.Errorf("%v", p)
		}
	}
	if n := strings.Count(r.log.String(), "msg=administration"); n < 10 || !strings.Contains(r.log.String(), "act=disable") ||
		!strings.Contains(r.log.String(), "caller=local:") {
		t.Errorf("%d lines about administration", n)
	}
}

func TestAdminDrain(t *testing.T) {
	r, admin := newAdministered(t)
	conn := r.dial(t, r.d)
	health := healthpb.NewHealthClient(conn)
	waitFor(t, health, healthpb.HealthCheckResponse_SERVING)
	out, err := admin.Drain(t.Context(), &epovpb.DrainRequest{Notice: durationpb.New(0), Deadline: durationpb.New(10 * time.Second)})
	if err != nil || out.CallsAtWork != 0 {
		t.Fatal(out, err)
	}
	waitFor(t, health, healthpb.HealthCheckResponse_NOT_SERVING)
	if _, err := r.sign("keys/EXMP01/ov"); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	if state, err := admin.GetAdminState(t.Context(), &epovpb.GetAdminStateRequest{}); err != nil || !state.Draining {
		t.Error(state, err)
	}
	if _, err := admin.Undrain(t.Context(), &epovpb.UndrainRequest{}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, health, healthpb.HealthCheckResponse_SERVING)
	if _, err := r.sign("keys/EXMP01/ov"); err != nil {
		t.Error(err)
	}
	// A notice that is called off.
	done := make(chan error, 1)
	go func() {
		_, err := admin.Drain(context.Background(), &epovpb.DrainRequest{Notice: durationpb.New(time.Hour)})
		done <- err
	}()
	waitFor(t, health, healthpb.HealthCheckResponse_NOT_SERVING)
	if _, err := r.sign("keys/EXMP01/ov"); err != nil {
		t.Errorf("while balancers take notice: %v", err)
	}
	if _, err := admin.Undrain(t.Context(), &epovpb.UndrainRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "called off") {
		t.Error(err)
	}
	if _, err := admin.Drain(t.Context(),
		&epovpb.DrainRequest{Notice: durationpb.New(2 * time.Hour)}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}

// At an address certificates tell who calls, by authorities of their own, and the policy says what they may do.
func TestAdminAddress(t *testing.T) {
	p := newPlant(t)
	officers := testpki.NewTLS(t)
	p.pem(t, "officers.pem", "CERTIFICATE", officers.Certificate.Raw)
	r := startRotating(t, p, "limits: {watch_seconds: 1}",
		"limits: {watch_seconds: 1}\nadmin: {listen: \"127.0.0.1:0\", client_ca: officers.pem}",
		"\nclients:\n", "\n  - {name: operator, allow: [{operations: [admin]}]}\nclients:\n  - {name: operator, san: [\"spiffe://example.ru/operator\"], roles: [operator]}\n")
	dial := func(a *testpki.TLS, san string) epovpb.AdminServiceClient {
		conn, err := grpc.NewClient(r.d.admin.listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: p.tls.Pool(), ServerName: "epovd.test", Certificates: []tls.Certificate{a.NewClient(t, san)},
		})))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return epovpb.NewAdminServiceClient(conn)
	}
	operator := dial(officers, "spiffe://example.ru/operator")
	if _, err := operator.Reload(t.Context(), &epovpb.ReloadRequest{}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"state": func() error {
			_, err := operator.GetAdminState(t.Context(), &epovpb.GetAdminStateRequest{})
			return err
		}(),
		"retire": func() error {
			_, err := operator.RetireKey(t.Context(), &epovpb.RetireKeyRequest{Key: version(1).String()})
			return err
		}(),
		"a client without the right": func() error {
			_, err := dial(officers, "spiffe://example.ru/gateway").Reload(t.Context(), &epovpb.ReloadRequest{})
			return err
		}(),
	} {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := dial(p.tls, "spiffe://example.ru/operator").Reload(t.Context(),
		&epovpb.ReloadRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a certificate of the clients' authority: %v", err)
	}
	// What belongs to the administration is not served to clients, and the other way round.
	if _, err := epovpb.NewAdminServiceClient(p.dial(t, r.d)).Reload(t.Context(),
		&epovpb.ReloadRequest{}); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	// Its authorities are exchanged with the rest.
	p.pem(t, "officers.pem", "CERTIFICATE", p.tls.Certificate.Raw)
	if out := r.d.Reload(t.Context()); outcome(t, out, "tls").Result != TakenOver {
		t.Errorf("%+v", out)
	}
	if _, err := operator.Reload(t.Context(), &epovpb.ReloadRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the withdrawn authority: %v", err)
	}
}

// The socket of a process that is gone is replaced; one that is served, and a file, are not.
func TestAdminSocket(t *testing.T) {
	r, _ := newAdministered(t)
	socket := r.d.config.admin.listen
	if err := removeStale(socket); err == nil || !strings.Contains(err.Error(), "somebody else serves") {
		t.Error(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	file := r.write(t, "file", []byte("x"))
	if err := removeStale(file); err == nil {
		t.Error("a file is removed")
	}
	if err := removeStale(filepath.Join(string(r.folder), "none")); err != nil {
		t.Error(err)
	}
}
