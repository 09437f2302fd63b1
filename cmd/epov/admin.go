package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/api/epovpb"
)

type adminCmd struct {
	Drain   adminDrainCmd   `cmd:"" help:"Take a daemon out of rotation: it finishes what is at work and takes no new calls."`
	Undrain adminUndrainCmd `cmd:"" help:"End a drain."`
	Reload  adminReloadCmd  `cmd:"" help:"Have a daemon read its configuration again, and say what became of each part."`
	State   adminStateCmd   `cmd:"" help:"Show a daemon's tokens, keys, clients and last reload."`
	Key     adminKeyCmd     `cmd:"" help:"Stage, activate, retire and disable key versions in a running daemon."`
}

// adminSocket is that of epovd-admin.socket.
const adminSocket = "/run/epovd-admin/socket"

// administration says how to reach a daemon's administration: by its socket, or by the address of flags or client configuration.
type administration struct {
	Socket string `placeholder:"PATH" help:"Administration socket of the daemon. Default, without an address: /run/epovd-admin/socket."`
	connection
}

func (a *administration) call(ctx context.Context, f func(context.Context, epovpb.AdminServiceClient) error) error {
	if a.Socket != "" && a.Address != "" {
		return usagef("--socket and --address are two ways; give one")
	}
	if a.Socket == "" && (a.Address != "" || a.ClientConfig != "") {
		return a.connection.call(ctx, func(ctx context.Context, c *client.Client, _ *clientConfig) error {
			return f(ctx, epovpb.NewAdminServiceClient(c.Conn()))
		})
	}
	path, err := filepath.Abs(cmp.Or(a.Socket, adminSocket))
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	timeout := a.Timeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx, epovpb.NewAdminServiceClient(conn))
}

type adminDrainCmd struct {
	administration
	Notice   time.Duration `default:"5s" help:"How long new calls are still taken while balancers take notice (default ${default})."`
	Deadline time.Duration `default:"20s" help:"How long to wait for calls at work after that (default ${default})."`
}

func (c *adminDrainCmd) Run(ctx context.Context, con *console) error {
	if c.Timeout == 0 {
		c.Timeout = c.Notice + c.Deadline + 5*time.Second
	}
	return c.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		out, err := admin.Drain(ctx, &epovpb.DrainRequest{Notice: durationpb.New(c.Notice), Deadline: durationpb.New(c.Deadline)})
		if err != nil {
			return err
		}
		if n := out.CallsAtWork; n > 0 {
			return fmt.Errorf("%d calls are still at work; no new ones are taken", n)
		}
		_, err = fmt.Fprintln(con.out, "drained: nothing is at work and no new calls are taken; `epov admin undrain` ends it")
		return err
	})
}

type adminUndrainCmd struct{ administration }

func (c *adminUndrainCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		if _, err := admin.Undrain(ctx, &epovpb.UndrainRequest{}); err != nil {
			return err
		}
		_, err := fmt.Fprintln(con.out, "serving again")
		return err
	})
}

type adminReloadCmd struct{ administration }

func (c *adminReloadCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		out, err := admin.Reload(ctx, &epovpb.ReloadRequest{})
		if err != nil {
			return err
		}
		if err := con.parts(out.Parts); err != nil {
			return err
		}
		for _, p := range out.Parts {
			if p.Result == epovpb.ReloadResult_RELOAD_RESULT_REFUSED {
				return fmt.Errorf("%s is refused: what was in force stays in force", p.Name)
			}
		}
		return nil
	})
}

func (con *console) parts(parts []*epovpb.ReloadedPart) error {
	t := newTable(con.out, "PART", "RESULT", "REMARK")
	for _, p := range parts {
		result := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(p.Result.String(), "RELOAD_RESULT_")), "_", " ")
		t.row(p.Name, result, p.Message)
		for _, f := range p.Findings {
			place := f.File
			if f.Line > 0 {
				place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
			}
			t.row("", "", strings.TrimSuffix(place+": "+f.Path, ": ")+": "+f.Message)
		}
	}
	return t.flush()
}

type adminStateCmd struct{ administration }

func (c *adminStateCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		s, err := admin.GetAdminState(ctx, &epovpb.GetAdminStateRequest{})
		if err != nil {
			return err
		}
		mode := "serving"
		if s.Draining {
			mode = "draining"
		}
		fmt.Fprintf(con.out, "%s since %s, %d calls at work\n\n", mode, s.Started.AsTime().Format(time.RFC3339), s.CallsAtWork)
		t := newTable(con.out, "TOKEN", "STATE", "SERIAL", "SESSIONS", "WORKING", "QUEUED", "SIGNED", "REMARK")
		for _, k := range s.Tokens {
			t.row(k.Name, k.State, k.Serial, fmt.Sprintf("%d of %d", k.Sessions, k.SessionsLimit), fmt.Sprint(k.Working),
				fmt.Sprint(k.Queued), fmt.Sprint(k.Signed), k.Message)
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(con.out)
		t = newTable(con.out, "KEY", "PRIMARY", "STATE", "TOKENS", "REMARK")
		for _, k := range s.Keys {
			primary := ""
			if k.Primary {
				primary = "primary"
			}
			t.row(k.Name, primary, k.State, strings.Join(k.Tokens, ", "), k.Message)
		}
		if err := t.flush(); err != nil {
			return err
		}
		fmt.Fprintln(con.out)
		t = newTable(con.out, "CLIENT", "ROLE", "CALLS", "AT WORK", "OVER RATE", "OVER CONCURRENT", "OVER SIZE", "DENIED")
		for _, u := range s.Clients {
			t.row(u.Client, u.Role, fmt.Sprint(u.Calls), fmt.Sprint(u.AtWork), fmt.Sprint(u.OverRate), fmt.Sprint(u.OverConcurrent),
				fmt.Sprint(u.OverSize), fmt.Sprint(u.Denied))
		}
		if err := t.flush(); err != nil || s.Reloaded == nil {
			return err
		}
		fmt.Fprintf(con.out, "\nreloaded %s\n", s.Reloaded.AsTime().Format(time.RFC3339))
		return con.parts(s.Reload)
	})
}

type adminKeyCmd struct {
	Stage    adminStageCmd    `cmd:"" help:"Prove a key version on its tokens and list it; it signs nothing yet."`
	Activate adminActivateCmd `cmd:"" help:"Make a staged version the primary one."`
	Retire   adminRetireCmd   `cmd:"" help:"End the signing of a version that is not the primary one."`
	Disable  adminDisableCmd  `cmd:"" help:"End the signing of a version at once, be it the primary one."`
}

// keyAct is one act on one version.
type keyAct struct {
	administration
	Name string `arg:"" help:"Key version, such as keys/EXMP01/ov/versions/2."`
}

func (c *keyAct) act(ctx context.Context, con *console, done string, f func(context.Context, epovpb.AdminServiceClient) error) error {
	return c.call(ctx, func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		if err := f(ctx, admin); err != nil {
			return err
		}
		_, err := fmt.Fprintf(con.out, "%s %s\n", done, printable(c.Name))
		return err
	})
}

type adminStageCmd struct {
	keyAct
	Token []string `placeholder:"NAME" help:"Configured token that holds it; several for replicas. Default: the primary version's."`
	ID    string   `name:"id" placeholder:"TEXT" help:"CKA_ID on the token; default: SYSTEM/KEY/VERSION."`
}

func (c *adminStageCmd) Run(ctx context.Context, con *console) error {
	return c.act(ctx, con, "staged", func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		_, err := admin.StageKey(ctx, &epovpb.StageKeyRequest{Key: c.Name, Tokens: c.Token, Id: c.ID})
		return err
	})
}

type adminActivateCmd struct{ keyAct }

func (c *adminActivateCmd) Run(ctx context.Context, con *console) error {
	return c.act(ctx, con, "activated", func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		_, err := admin.ActivateKey(ctx, &epovpb.ActivateKeyRequest{Key: c.Name})
		return err
	})
}

type adminRetireCmd struct{ keyAct }

func (c *adminRetireCmd) Run(ctx context.Context, con *console) error {
	return c.act(ctx, con, "retired", func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		_, err := admin.RetireKey(ctx, &epovpb.RetireKeyRequest{Key: c.Name})
		return err
	})
}

type adminDisableCmd struct{ keyAct }

func (c *adminDisableCmd) Run(ctx context.Context, con *console) error {
	return c.act(ctx, con, "disabled", func(ctx context.Context, admin epovpb.AdminServiceClient) error {
		_, err := admin.DisableKey(ctx, &epovpb.DisableKeyRequest{Key: c.Name})
		return err
	})
}
