package observe

import (
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// meter counts, and knows the rate of late. The zero value is ready.
type meter struct {
	n    atomic.Uint64
	rate atomic.Uint64 // bits of a float64, per second

	before uint64 // for tick alone
}

func (m *meter) add() { m.n.Add(1) }

func (m *meter) count() uint64 { return m.n.Load() }

func (m *meter) perSecond() float64 { return math.Float64frombits(m.rate.Load()) }

// memory is how long ago what a rate is made of lies on average.
const memory = 5 * time.Second

// tick takes in what was counted in the time passed since the last tick.
func (m *meter) tick(passed time.Duration) {
	n := m.n.Load()
	lately := float64(n-m.before) / passed.Seconds()
	m.before = n
	rate := m.perSecond()
	rate += (lately - rate) * -math.Expm1(-passed.Seconds()/memory.Seconds())
	m.rate.Store(math.Float64bits(rate))
}

// table is a map that is read often and grows seldom. Reading neither waits nor allocates.
type table[K comparable, V any] struct {
	now   atomic.Pointer[map[K]*V]
	mutex sync.Mutex
}

func (t *table[K, V]) all() map[K]*V {
	if m := t.now.Load(); m != nil {
		return *m
	}
	return nil
}

// grow is the value of a key, which is made when there is none.
func (t *table[K, V]) grow(k K, made func() *V) *V {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if v := t.all()[k]; v != nil {
		return v
	}
	grown := maps.Clone(t.all())
	if grown == nil {
		grown = map[K]*V{}
	}
	v := made()
	grown[k] = v
	t.now.Store(&grown)
	return v
}

func empty[V any]() *V { return new(V) }
