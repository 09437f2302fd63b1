package observe

import (
	"math"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// The buckets of a histogram are those of Prometheus' native histograms with schema 3: eight to each doubling, so that a
// quantile is off by 9 % at most. They reach from 2^-20 s, below which a duration counts as none, to 2^12 s.
const (
	schema    = 3
	perDouble = 1 << schema
	lowest    = -20
	highest   = 12
	bins      = (highest - lowest) * perDouble

	// Scrapers that know no native histograms get classic buckets, one to each doubling between these, in seconds.
	classicLowest, classicHighest = -13, 4
)

// bounds are the upper bounds of the buckets of one doubling, for mantissas as math.Frexp gives them.
var bounds = func() (b [perDouble]float64) {
	for i := range b {
		b[i] = math.Exp2(float64(i)/perDouble - 1)
	}
	return b
}()

// Histogram counts durations. The zero value is empty and ready. Safe for concurrent use; observing allocates nothing.
type Histogram struct {
	sum   atomic.Int64 // nanoseconds
	zero  atomic.Uint64
	count [bins]atomic.Uint64
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	h.sum.Add(int64(d))
	if i := bin(d); i < 0 {
		h.zero.Add(1)
	} else {
		h.count[i].Add(1)
	}
}

// bin is the bucket of a duration; -1: it counts as none.
func bin(d time.Duration) int {
	if d <= 0 {
		return -1
	}
	mantissa, exponent := math.Frexp(d.Seconds())
	i := 0
	for i < perDouble && bounds[i] < mantissa {
		i++
	}
	return max(min(i+(exponent-1-lowest)*perDouble-1, bins-1), -1)
}

// upper is the upper bound of a bucket in seconds.
func upper(bin int) float64 { return math.Exp2(float64(bin+1)/perDouble + lowest) }

// clear empties the histogram. What is observed meanwhile may be lost.
func (h *Histogram) clear() {
	h.sum.Store(0)
	h.zero.Store(0)
	for i := range h.count {
		h.count[i].Store(0)
	}
}

// counts are the numbers of a histogram at one moment.
type counts struct {
	zero, all uint64
	bin       [bins]uint64
}

func (c *counts) add(h *Histogram) {
	zero := h.zero.Load()
	c.zero, c.all = c.zero+zero, c.all+zero
	for i := range h.count {
		n := h.count[i].Load()
		c.bin[i] += n
		c.all += n
	}
}

// quantile is a duration that the share q of all does not exceed, up to the width of a bucket; 0 when there are none.
func (c *counts) quantile(q float64) time.Duration {
	if c.all == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(c.all))), 1)
	seen := c.zero
	if seen >= rank {
		return 0
	}
	for i, n := range c.bin {
		if seen += n; seen >= rank {
			return time.Duration(upper(i) * float64(time.Second))
		}
	}
	return time.Duration(upper(bins-1) * float64(time.Second))
}

// write fills a metric, as native and as classic histogram.
func (h *Histogram) write(m *dto.Metric) {
	c := &counts{}
	c.add(h)
	out := &dto.Histogram{
		SampleCount: proto.Uint64(c.all), SampleSum: proto.Float64(time.Duration(h.sum.Load()).Seconds()),
		Schema: proto.Int32(schema), ZeroThreshold: proto.Float64(math.Exp2(lowest)), ZeroCount: proto.Uint64(c.zero),
	}
	below, next := c.zero, 0
	for e := classicLowest; e <= classicHighest; e++ {
		for ; next < (e-lowest)*perDouble; next++ {
			below += c.bin[next]
		}
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: proto.Float64(math.Exp2(float64(e))), CumulativeCount: proto.Uint64(below)})
	}
	// Runs of buckets in use, each with its distance from the one before; counts as differences.
	last, before := lowest*perDouble, int64(0)
	for i, n := range c.bin {
		if n == 0 {
			continue
		}
		index := i + 1 + lowest*perDouble
		spans := len(out.PositiveSpan)
		switch {
		case spans == 0:
			out.PositiveSpan = append(out.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(int32(index)), Length: proto.Uint32(1)})
		case index == last+1:
			*out.PositiveSpan[spans-1].Length++
		default:
			out.PositiveSpan = append(out.PositiveSpan,
				&dto.BucketSpan{Offset: proto.Int32(int32(index - last - 1)), Length: proto.Uint32(1)})
		}
		last = index
		out.PositiveDelta = append(out.PositiveDelta, int64(n)-before)
		before = int64(n)
	}
	m.Histogram = out
}

// recent is a histogram of the last ten to twenty seconds.
type recent struct {
	generations [2]Histogram
	current     atomic.Uint32
}

// generation is how often turn is to be called.
const generation = 10 * time.Second

func (r *recent) Observe(d time.Duration) { r.generations[r.current.Load()&1].Observe(d) }

// turn begins a new generation and forgets the one before the last.
func (r *recent) turn() {
	next := r.current.Load() + 1
	r.generations[next&1].clear()
	r.current.Store(next)
}

func (r *recent) latency() Latency {
	c := &counts{}
	c.add(&r.generations[0])
	c.add(&r.generations[1])
	return Latency{P50: c.quantile(0.5), P99: c.quantile(0.99), Count: c.all}
}

// Latency is what durations were lately.
type Latency struct {
	P50, P99 time.Duration // 0: none lately
	Count    uint64
}
