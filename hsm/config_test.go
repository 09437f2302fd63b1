package hsm

import (
	"log/slog"
	"testing"
)

func TestConfigIsChecked(t *testing.T) {
	good := TokenConfig{Module: "m", Label: "l", PIN: PINFile("p"), StateDir: "s"}
	for name, spoil := range map[string]func(*TokenConfig){
		"module": func(c *TokenConfig) { c.Module = "" }, "token": func(c *TokenConfig) { c.Label = "" },
		"pin": func(c *TokenConfig) { c.PIN = PINSource{} }, "state": func(c *TokenConfig) { c.StateDir = "" },
		"sessions": func(c *TokenConfig) { c.Sessions = maxSessions + 1 }, "negative": func(c *TokenConfig) { c.Sessions = -1 },
	} {
		bad := good
		spoil(&bad)
		_, err := Open(t.Context(), bad, slog.New(slog.DiscardHandler))
		if wantKind(t, err, Config); name == "" {
			t.Error(name)
		}
	}
	got, err := good.checked()
	if err != nil || got.Sessions != 0 || got.Queue != DefaultQueue || got.Name != "l" || got.Trace == nil {
		t.Errorf("%+v %v", got, err)
	}
}
