package observe

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The buckets are those that Prometheus' own library has, for any duration: what one counts the other counts.
func TestHistogramAsPrometheus(t *testing.T) {
	theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "h", NativeHistogramBucketFactor: math.Exp2(1.0 / perDouble), NativeHistogramZeroThreshold: math.Exp2(lowest),
	})
	ours := &Histogram{}
	random := rand.New(rand.NewPCG(1, 2))
	durations := []time.Duration{0, 1, 950, 953, 954, 1000, time.Microsecond, time.Millisecond, time.Second / 8,
		time.Second / 2, time.Second,
		time.Second + 1, time.Minute, time.Hour}
	for range 5000 {
		durations = append(durations, time.Duration(math.Exp(random.Float64()*28)))
	}
	for _, d := range durations {
		ours.Observe(d)
		theirs.Observe(d.Seconds())
	}
	var a, b dto.Metric
	ours.write(&a)
	if err := theirs.Write(&b); err != nil {
		t.Fatal(err)
	}
	x, y := a.Histogram, b.Histogram
	if x.GetSampleCount() != y.GetSampleCount() || x.GetZeroCount() != y.GetZeroCount() || x.GetSchema() != y.GetSchema() ||
		x.GetZeroThreshold() != y.GetZeroThreshold() {
		t.Errorf("got %d of which %d are none, want %d and %d", x.GetSampleCount(), x.GetZeroCount(), y.GetSampleCount(), y.GetZeroCount())
	}
	if math.Abs(x.GetSampleSum()-y.GetSampleSum()) > 1e-6*y.GetSampleSum() {
		t.Errorf("sum %v, want %v", x.GetSampleSum(), y.GetSampleSum())
	}
	got, want := unfold(x), unfold(y)
	for i, n := range want {
		if got[i] != n {
			t.Errorf("bucket %d: %d, want %d", i, got[i], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d buckets, want %d", len(got), len(want))
	}
	for _, bucket := range x.Bucket {
		var below uint64
		for _, d := range durations {
			if d.Seconds() <= bucket.GetUpperBound() {
				below++
			}
		}
		if bucket.GetCumulativeCount() != below {
			t.Errorf("up to %v s: %d, want %d", bucket.GetUpperBound(), bucket.GetCumulativeCount(), below)
		}
	}
}

// unfold gives the counts by index, without empty buckets.
func unfold(h *dto.Histogram) map[int32]int64 {
	out := map[int32]int64{}
	index, delta, count := int32(0), 0, int64(0)
	for _, s := range h.PositiveSpan {
		index += s.GetOffset()
		for range s.GetLength() {
			count += h.PositiveDelta[delta]
			if count != 0 {
				out[index] = count
			}
			delta++
			index++
		}
	}
	return out
}

func TestQuantile(t *testing.T) {
	var r recent
	if l := r.latency(); l != (Latency{}) {
		t.Errorf("nothing: %+v", l)
	}
	for i := range 1000 {
		r.Observe(time.Duration(i+1) * time.Millisecond)
	}
	near := func(got, want time.Duration) bool { return got >= want && float64(got) <= float64(want)*1.1 }
	if l := r.latency(); l.Count != 1000 || !near(l.P50, 500*time.Millisecond) || !near(l.P99, 990*time.Millisecond) {
		t.Errorf("%+v", l)
	}
	r.turn()
	r.Observe(time.Nanosecond)
	if l := r.latency(); l.Count != 1001 {
		t.Errorf("a generation later: %+v", l)
	}
	r.turn()
	if l := r.latency(); l != (Latency{Count: 1}) {
		t.Errorf("two generations later: %+v", l)
	}
	var extreme Histogram
	extreme.Observe(-time.Second)
	extreme.Observe(math.MaxInt64)
	c := &counts{}
	c.add(&extreme)
	if c.all != 2 || c.zero != 1 || c.quantile(1) != time.Duration(math.Exp2(highest))*time.Second {
		t.Errorf("%d, %d, %v", c.all, c.zero, c.quantile(1))
	}
}

func BenchmarkObserve(b *testing.B) {
	h := &Histogram{}
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(1234 * time.Microsecond)
	}
}
