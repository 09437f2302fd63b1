package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// screen is a picture of a service's state, line by line.
type screen struct {
	width, height int // 0: as much as it takes
	color         bool
	now           time.Time
	lines         []string
}

// The colours of ANSI terminals, by what they say.
const (
	uncolored = ""
	bold      = "1"
	bad       = "1;31"
	worry     = "33"
	good      = "32"
	header    = "7"
)

// line adds one, which is cut at the width; a colour that it has holds for the whole of it.
func (s *screen) line(color, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.width > 0 {
		text = fit(text, s.width)
	}
	text = strings.TrimRight(text, " ")
	if color == header && s.color && s.width > 0 {
		text += strings.Repeat(" ", max(s.width-utf8.RuneCountInString(text), 0))
	}
	if s.color && color != uncolored && text != "" {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	s.lines = append(s.lines, text)
}

// fit cuts a text to so many characters, and says that it did.
func fit(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}

// pad fills a cell up, or cuts it; to the right of it when width is negative.
func pad(text string, width int) string {
	n := max(width, -width)
	text = fit(text, n)
	space := strings.Repeat(" ", n-utf8.RuneCountInString(text))
	if width < 0 {
		return space + text
	}
	return text + space
}

// state draws the whole picture: what is wrong first, then the service, its tokens and its keys.
func (s *screen) state(of *pb.ServiceState) {
	s.now = of.GetTime().AsTime()
	condition, color := "serving", good
	switch {
	case of.GetDraining():
		condition, color = "draining", worry
	case !of.GetServing():
		condition, color = "NOT SERVING", bad
	}
	s.line(color, "epov %s  %s  up %s  %s", printable(of.GetVersion()), condition, span(s.now.Sub(of.GetStarted().AsTime())),
		s.now.UTC().Format("15:04:05 UTC"))
	s.line(uncolored, "%s signatures/s  %s refusals/s  %d calls  %d/%d connections", rate(of.GetSignaturesPerSecond()),
		rate(of.GetRefusalsPerSecond()), of.GetCalls(), of.GetConnections(), of.GetConnectionsLimit())
	s.line(uncolored, "%d signatures and %d refusals since the start", of.GetSignatures(), of.GetRefusals())
	s.line(uncolored, "%s", latencies(of))
	s.warnings(of)
	s.line(uncolored, "")
	s.tokens(of.GetTokens())
	s.line(uncolored, "")
	s.keys(of.GetKeys())
}

func latencies(of *pb.ServiceState) string {
	text := "p50/p99"
	for _, l := range []struct {
		name string
		of   *pb.Latency
	}{{"queue", of.GetQueue()}, {"token", of.GetToken()}, {"verify", of.GetVerify()}, {"total", of.GetTotal()}} {
		text += " " + l.name + " " + pair(l.of)
	}
	return text
}

// pair is both quantiles, with the unit once where it is the same.
func pair(l *pb.Latency) string {
	low, high := lately(l.GetP50(), l), lately(l.GetP99(), l)
	if strings.HasSuffix(high, "ms") {
		low = strings.TrimSuffix(low, "ms")
	}
	return low + "/" + high
}

// warnings are what an operator should do something about soon.
func (s *screen) warnings(of *pb.ServiceState) {
	const soon = 30 * 24 * time.Hour
	for _, c := range of.GetCertificates() {
		switch left := c.GetEnd().AsTime().Sub(s.now); {
		case left <= 0:
			s.line(bad, "! the certificate of %s %s is over", printable(c.GetKind()), printable(c.GetName()))
		case left < soon:
			s.line(worry, "! the certificate of %s %s ends in %s", printable(c.GetKind()), printable(c.GetName()), span(left))
		}
	}
	if r := of.GetRevocation(); r.GetOverdue() > 0 || r.GetFailing() > 0 {
		s.line(worry, "! of %d revocation lists %d are overdue; %d sources failed", r.GetLists(), r.GetOverdue(), r.GetFailing())
	}
	switch a := of.GetAudit(); {
	case a == nil:
	case a.GetReason() != "":
		s.line(bad, "! the audit log takes no records: %s", printable(a.GetReason()))
	default:
		s.line(uncolored, "audit log: %d records, %d without a checkpoint", a.GetRecords(), a.GetLag())
	}
}

// gauge is a share as a bar of so many characters.
func gauge(share float64, width int) string {
	full := int(math.Round(min(max(share, 0), 1) * float64(width)))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

func (s *screen) tokens(tokens []*pb.TokenState) {
	s.line(header, "%s %s %s %s %s %s %s  %s", pad("TOKEN", 12), pad("STATE", 10), pad("PIN", 7), pad("SESSIONS", -8), pad("QUEUE", -5),
		pad("SIG/S", -7), pad("P99", -7), "IN USE")
	for _, t := range tokens {
		color, use := uncolored, "-"
		if t.Headroom != nil {
			used := 1 - t.GetHeadroom()
			use = gauge(used, 8) + " " + strconv.Itoa(int(math.Round(used*100))) + "%"
			if used > 0.8 {
				color = worry
			}
		}
		if t.GetState() != "ready" || t.GetPin() != "ok" {
			color = bad
		}
		s.line(color, "%s %s %s %s %s %s %s  %s", pad(printable(t.GetName()), 12), pad(printable(t.GetState()), 10),
			pad(printable(t.GetPin()), 7),
			pad(fmt.Sprintf("%d/%d/%d", t.GetWorking(), t.GetSessions(), t.GetSessionsLimit()), -8),
			pad(strconv.Itoa(int(t.GetQueued())), -5),
			pad(rate(t.GetSignaturesPerSecond()), -7), pad(lately(t.GetLatency().GetP99(), t.GetLatency()), -7), use)
		if t.GetReason() != "" {
			s.line(color, "  %s, since %s", printable(t.GetReason()), span(s.now.Sub(t.GetSince().AsTime())))
		}
		if n := t.GetRestarts(); n > 0 {
			s.line(worry, "  its module was started again: %s", plural(int(n), "time"))
		}
		if n := t.GetHanging(); n > 0 {
			s.line(worry, "  of its module hang %s", plural(int(n), "call"))
		}
	}
}

// keys lists those that do not sign first, then the busiest.
func (s *screen) keys(keys []*pb.KeyHealth) {
	keys = slices.Clone(keys)
	rank := func(k *pb.KeyHealth) int {
		switch {
		case k.GetState() == "active" && troubled(k):
			return 0
		case k.GetState() == "retired":
			return 2
		}
		return 1
	}
	slices.SortStableFunc(keys, func(a, b *pb.KeyHealth) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.GetSignaturesPerSecond(), a.GetSignaturesPerSecond()),
			cmp.Compare(a.GetName(), b.GetName()))
	})
	s.line(header, "%s %s %s %s %s  %s", pad("KEY (* primary)", 34), pad("STATE", 8), pad("DAYS", -5),
		pad("SIG/S", -8), pad("P99", -7), "TESTED")
	for _, k := range keys {
		name := printable(k.GetName())
		if k.GetPrimary() {
			name += " *"
		}
		color, days := uncolored, "-"
		if end := k.GetCertificateEnd(); end != nil {
			left := end.AsTime().Sub(s.now).Hours() / 24
			days = strconv.Itoa(int(math.Floor(left)))
			if left < 30 {
				color = worry
			}
		}
		if troubled(k) && k.GetState() == "active" {
			color = bad
		}
		s.line(color, "%s %s %s %s %s  %s", pad(name, 34), pad(printable(k.GetState()), 8), pad(days, -5),
			pad(rate(k.GetSignaturesPerSecond()), -8),
			pad(lately(k.GetLatency().GetP99(), k.GetLatency()), -7), s.tested(k))
		if k.GetReason() != "" && k.GetState() == "active" {
			s.line(color, "  %s", printable(k.GetReason()))
		}
		for _, r := range k.GetReplicas() {
			if what := cmp.Or(r.GetTestFailure(), r.GetReason()); what != "" && k.GetReason() == "" && k.GetState() == "active" {
				s.line(color, "  on %s: %s", printable(r.GetToken()), printable(what))
			}
		}
	}
}

func troubled(k *pb.KeyHealth) bool {
	return k.GetReason() != "" || slices.ContainsFunc(k.GetReplicas(), func(r *pb.ReplicaState) bool {
		return r.GetReason() != "" || r.GetTestFailure() != "" || r.GetOutOfService()
	})
}

// tested says when a key last gave a good signature, on the token where that is the longest ago.
func (s *screen) tested(k *pb.KeyHealth) string {
	var oldest *timestamppb.Timestamp
	for _, r := range k.GetReplicas() {
		if at := r.GetSigned(); at == nil {
			return "never"
		} else if oldest == nil || at.AsTime().Before(oldest.AsTime()) {
			oldest = at
		}
	}
	if oldest == nil {
		return "-"
	}
	return span(s.now.Sub(oldest.AsTime())) + " ago"
}

// text is the picture as far as there is room, with a last line that says what there was not.
func (s *screen) text() []string {
	if s.height <= 0 || len(s.lines) <= s.height {
		return s.lines
	}
	lines := slices.Clone(s.lines[:max(s.height-1, 0)])
	return append(lines, fit(fmt.Sprintf("… %d more lines; --once shows all", len(s.lines)-len(lines)), cmp.Or(s.width, 80)))
}

// span is a time that has passed, in two units at most.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// lately is a duration to two or three digits; "-" when there was none lately.
func lately(d *durationpb.Duration, of *pb.Latency) string {
	if of.GetCount() == 0 {
		return "-"
	}
	v := d.AsDuration()
	switch {
	case v < time.Millisecond:
		return strconv.FormatFloat(float64(v)/1e6, 'f', 2, 64) + "ms"
	case v < 10*time.Millisecond:
		return strconv.FormatFloat(float64(v)/1e6, 'f', 1, 64) + "ms"
	case v < time.Second:
		return strconv.FormatFloat(float64(v)/1e6, 'f', 0, 64) + "ms"
	}
	return strconv.FormatFloat(v.Seconds(), 'f', 1, 64) + "s"
}

// rate is a number per second.
func rate(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
