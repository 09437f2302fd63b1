package main

import (
	"context"
	"fmt"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/epov-signer/epov/api/client"
)

// healthCmd asks the standard health service over mutual TLS, which the probes of container platforms do not speak.
type healthCmd struct {
	connection
	Service string `default:"epov.v1.SignService" placeholder:"NAME" help:"Service to ask about: epov.v1.SignService (one key at least would sign) or epov.v1.VerifyService. Default: the former."`
}

func (c *healthCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
		answer, err := healthpb.NewHealthClient(service.Conn()).Check(ctx, &healthpb.HealthCheckRequest{Service: c.Service})
		if err != nil {
			return err
		}
		fmt.Fprintln(con.out, answer.GetStatus())
		if answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			return errVerdict
		}
		return nil
	})
}
