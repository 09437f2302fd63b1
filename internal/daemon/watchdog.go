package daemon

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// watchdogInterval is how often the service manager wants to hear that the service is alive, at the least; 0: it does not
// (sd_watchdog_enabled(3)).
func watchdogInterval() (time.Duration, error) {
	text, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	if text == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q", text)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// feed tells the service manager that the service is alive, three times an interval, for as long as it is: the loop that
// serves takes up connections, and the scheduler says how its tokens are. A token that is away or hangs is no reason to
// start the service anew; that is the scheduler's to mend.
func (d *Daemon) feed(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		if err := d.alive(ctx, interval/3); err == nil {
			_ = notify("WATCHDOG=1") // unheard, it costs what the watchdog is for
		} else if ctx.Err() == nil {
			d.log.Error("the service does not answer itself; its watchdog is not fed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// alive asks the parts that everything depends on. One that hangs holds it up or costs the error.
func (d *Daemon) alive(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if err := d.listener.ask(ctx); err != nil {
		return err
	}
	d.tokens.Health() // takes the lock of every token's queue
	d.keys.now.Load().wellness()
	return nil
}
