package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
)

type canaryCmd struct {
	connection
	Key string `placeholder:"NAME" help:"Key to test, such as keys/EXMP01/ov; default: the client configuration's."`
}

func (c *canaryCmd) Run(ctx context.Context, con *console) error {
	return c.call(ctx, func(ctx context.Context, service *client.Client, cfg *clientConfig) error {
		key, err := cfg.signingKey(c.Key)
		if err != nil {
			return err
		}
		nonce := make([]byte, 16)
		_, _ = rand.Read(nonce) // never fails
		answer, err := pb.NewMonitorServiceClient(service.Conn()).SignCanary(ctx, &pb.SignCanaryRequest{Key: key, Nonce: nonce})
		if err != nil {
			return err
		}
		t := answer.GetTimings()
		_, err = fmt.Fprintf(con.out, "%s signed and the signature verifies: %s in all, queue %s, token %s, verification %s\n",
			printable(answer.GetKey()),
			answer.GetTotal().AsDuration().Round(time.Microsecond), t.GetQueue().AsDuration().Round(time.Microsecond),
			t.GetToken().AsDuration().Round(time.Microsecond), t.GetVerify().AsDuration().Round(time.Microsecond))
		return err
	})
}
