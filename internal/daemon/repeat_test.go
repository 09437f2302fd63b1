package daemon

import (
	"bytes"
	"context"
	"testing"

	"github.com/epov-signer/epov/api/epovpb"
)

// A successor takes over: whoever watches is told of both versions, and a request that is repeated gets the signature of the
// version that made it.
func TestRepetitionAndWatchAcrossRotation(t *testing.T) {
	r := newRotating(t)
	first, second := version(1).String(), version(2).String()
	watch, err := r.keys.WatchKeys(t.Context(), &epovpb.WatchKeysRequest{})
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]*epovpb.Key{}
	until := func(ok func() bool) {
		t.Helper()
		for !ok() {
			m, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range m.Keys {
				states[k.Name] = k
			}
		}
	}
	until(func() bool { return states[first].GetPrimary() })
	req := &epovpb.SignCmsRequest{
		Key: "keys/EXMP01/ov", Profile: "pkcs7-detached", RequestId: "repeated",
		Source: &epovpb.SignCmsRequest_Content{Content: []byte("content")},
	}
	before, err := r.client.SignCms(t.Context(), req)
	if err != nil || before.Key != first {
		t.Fatal(before, err)
	}
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Stage(ctx, version(2), Staging{}) })
	until(func() bool { return states[second].GetState() == epovpb.KeyState_KEY_STATE_STAGED })
	r.change(t, func(ctx context.Context, c *Rotation) error { return c.Activate(ctx, version(2)) })
	until(func() bool {
		return states[second].GetPrimary() && states[second].GetState() == epovpb.KeyState_KEY_STATE_USABLE && !states[first].GetPrimary()
	})
	again, err := r.client.SignCms(t.Context(), req)
	if err != nil || !again.Act.Replayed || again.Key != first || !bytes.Equal(again.Message, before.Message) {
		t.Error(again, err)
	}
	req.RequestId = "another"
	if now, err := r.client.SignCms(t.Context(), req); err != nil || now.Key != second || now.Act.Timings.Token.AsDuration() <= 0 {
		t.Error(now, err)
	}
}
