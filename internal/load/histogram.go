package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations from a microsecond to half an hour, each to within 1/64 of itself. The zero value is ready; safe
// for concurrent use.
type Histogram struct {
	counts [buckets]atomic.Int64
	sum    atomic.Int64 // nanoseconds
	most   atomic.Int64
}

const (
	fine    = 64 // buckets to each doubling
	buckets = fine * 26
)

// bucket is where a duration is counted: the first 64 buckets are of one microsecond, from there on each doubling has 32.
func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < fine {
		return int(us)
	}
	shift := bits.Len64(us) - 7 // leaves 64 to 127
	return min(fine*(shift+1)+int(us>>shift)-fine, buckets-1)
}

// upper is the longest duration of a bucket.
func upper(i int) time.Duration {
	if i < fine {
		return time.Duration(i+1) * time.Microsecond
	}
	shift := i/fine - 1
	return time.Duration(i%fine+fine+1) << shift * time.Microsecond
}

// Record counts one.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucket(d)].Add(1)
	h.sum.Add(int64(d))
	for {
		most := h.most.Load()
		if int64(d) <= most || h.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// Count is how many were recorded.
func (h *Histogram) Count() (n int64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Max is the longest.
func (h *Histogram) Max() time.Duration { return time.Duration(h.most.Load()) }

// Mean is 0 when nothing was recorded.
func (h *Histogram) Mean() time.Duration {
	if n := h.Count(); n > 0 {
		return time.Duration(h.sum.Load() / n)
	}
	return 0
}

// Quantile is a duration that the share q of all did not exceed, 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(h.Count())))
	if rank == 0 {
		return 0
	}
	for i, seen := 0, int64(0); i < buckets; i++ {
		if seen += h.counts[i].Load(); seen >= rank {
			return min(upper(i), h.Max())
		}
	}
	return h.Max()
}

// Bar is a row of a printed histogram.
type Bar struct {
	Below time.Duration
	Count int64
}

// Bars are the counts of each doubling that has any, the first and last ones and all between them.
func (h *Histogram) Bars() (bars []Bar) {
	for i := 0; i < buckets; {
		b := Bar{Below: upper(i)}
		for b.Below = doubling(upper(i)); i < buckets && upper(i) <= b.Below; i++ {
			b.Count += h.counts[i].Load()
		}
		if b.Count > 0 || len(bars) > 0 {
			bars = append(bars, b)
		}
	}
	for len(bars) > 0 && bars[len(bars)-1].Count == 0 {
		bars = bars[:len(bars)-1]
	}
	return bars
}

// doubling is the least power of two of microseconds that is not below d.
func doubling(d time.Duration) time.Duration {
	p := time.Microsecond
	for p < d {
		p *= 2
	}
	return p
}
