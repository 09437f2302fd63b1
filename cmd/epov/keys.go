package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/version"
)

type keysCmd struct {
	connection
}

func (c *keysCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
		answer, err := service.Keys.ListKeys(ctx, &pb.ListKeysRequest{})
		if err != nil {
			return err
		}
		t := newTable(con.out, "NAME", "PRIMARY", "ALGORITHM", "PARAMETERS", "STATE", "CERTIFICATE", "VALID UNTIL")
		for _, k := range answer.GetKeys() {
			t.row(remoteKeyRow(k)...)
		}
		return t.flush()
	})
}

func remoteKeyRow(k *pb.Key) []string {
	primary := ""
	if k.GetPrimary() {
		primary = "primary"
	}
	state := strings.ToLower(strings.TrimPrefix(k.GetState().String(), "KEY_STATE_"))
	if k.GetStateMessage() != "" {
		state += ": " + k.GetStateMessage()
	}
	row := []string{k.GetName(), primary, k.GetAlgorithm(), k.GetParameterSet(), state, "", ""}
	if der := k.GetCertificate(); len(der) > 0 {
		if cert, err := gost.ParseCertificate(der); err != nil {
			row[5] = "unreadable"
		} else {
			row[5], row[6] = cert.Subject.String(), cert.NotAfter.UTC().Format(time.RFC3339)
		}
	}
	return row
}

type versionCmd struct{}

func (versionCmd) Run(con *console) error {
	_, err := fmt.Fprintln(con.out, "epov", version.String())
	return err
}
