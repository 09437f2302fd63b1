package daemon

import (
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/signer"
)

// timesConfig are times that concern no single call.
type timesConfig struct {
	watch time.Duration // between two tests of an idle token
	wait  time.Duration // that a request without a deadline may wait for a token, 0: default
	grace time.Duration // for calls at work when the daemon stops
}

func (c *Config) readLimits(v value) {
	at := v.mapping("message_bytes", "calls", "connections", "streams", "call_seconds", "connection_age_seconds",
		"stream_bytes", "stream_seconds", "stall_seconds", "batches", "batch_items", "batch_seconds",
		"stop_seconds", "watch_seconds", "wait_seconds")
	c.bounds = signer.Limits{
		MessageBytes: at("message_bytes").number(1024, 1<<30), StreamBytes: int64(at("stream_bytes").number(1024, 1<<42)),
	}
	c.limits = api.Limits{
		MessageBytes: c.bounds.MessageBytes, Calls: at("calls").number(1, 1<<16), Streams: at("streams").number(1, 1<<16),
		CallTime:      seconds(at("call_seconds"), 3600, 0),
		ConnectionAge: seconds(at("connection_age_seconds"), 24*3600, 0),
		Batches:       at("batches").number(1, 1<<16), BatchItems: at("batch_items").number(1, 1<<12),
		BatchTime:  seconds(at("batch_seconds"), 24*3600, 0),
		StreamTime: seconds(at("stream_seconds"), 24*3600, 0),
		StallTime:  seconds(at("stall_seconds"), 3600, 0),
	}
	c.connections = at("connections").number(1, 1<<16)
	c.times = timesConfig{
		grace: seconds(at("stop_seconds"), 3600, 20*time.Second), wait: seconds(at("wait_seconds"), 3600, 0),
		watch: seconds(at("watch_seconds"), 3600, 15*time.Second),
	}
}

func (c *Config) readRequestIDs(v value) {
	at := v.mapping("seconds", "entries", "bytes", "total_bytes")
	c.requestIDs = signer.RequestIDs{
		TTL: seconds(at("seconds"), 24*3600, 0), Entries: at("entries").number(1, 1<<24),
		Bytes: int64(at("bytes").number(1<<16, 1<<36)), TotalBytes: int64(at("total_bytes").number(1<<16, 1<<38)),
	}
}
