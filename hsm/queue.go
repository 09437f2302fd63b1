package hsm

// queue holds the requests that wait on a lane and says whose turn it is: start-time fair queueing (Goyal, Vin, Cheng, 1996)
// between flows, first come first served within one. A flow with weight w gets w shares of the lane while it has requests
// waiting; however small its weight, it is never passed over for ever. Not safe for concurrent use; the lane's mutex
// guards it.
//
// Each waiting request has a virtual start tag: that of the one before it in its flow plus unit/weight, yet not before now,
// the tag of the request taken last. The smallest tag is next. Only the tag of a flow's first request is stored; the others
// follow from it.
type queue struct {
	limit int // most requests in all
	share int // most requests of one flow

	size  int
	now   uint64
	last  uint64 // the largest tag that a flow without requests may have
	flows map[string]*flow
	heap  []*flow // those with requests waiting, the smallest start first
	again chain   // requests that were taken before and came back: before all others, in order
}

// unit is the virtual time of one request at weight 1. 2^63 of virtual time are some 10^12 requests.
const unit = 1 << 20

// maxWeight bounds weights, so that unit/weight keeps some precision.
const maxWeight = 1 << 12

// idleFlows are remembered before those that are over are swept away.
const idleFlows = 64

// flow is what one client has waiting. Between requests it is remembered until now has passed its finish, so that a client
// gains nothing by leaving and coming back.
type flow struct {
	chain
	name   string
	step   uint64 // unit/weight
	start  uint64 // tag of the first request; without one, the least that the next will have
	place  int    // in the heap, -1: not there
	weight int
}

// chain is a list of requests, linked through them.
type chain struct {
	head, tail *request
	count      int
}

// link is a request's place in a queue.
type link struct {
	prev, next *request
	flow       *flow
	queued     bool
}

func newQueue(limit, share int) queue {
	return queue{limit: limit, share: share, flows: map[string]*flow{}}
}

// push appends a request to a flow. When the queue is full, the newest request of the flow that is most over its share
// gives way and is returned; that may be r itself, and is when its own flow is full.
func (q *queue) push(r *request, name string, weight int) (out *request) {
	f := q.flow(name, weight)
	if f.count >= q.share || q.limit == 0 {
		return r
	}
	if q.size >= q.limit {
		g := q.greediest(f)
		if g == f {
			return r
		}
		out = g.tail
		q.remove(out)
	}
	if f.count == 0 {
		f.start = max(f.start, q.now)
		q.enter(f)
	}
	f.append(r)
	r.flow = f
	q.size++
	return out
}

// pushAgain puts back a request that was taken. It counts as waiting and is never turned away: no more than the lane has
// clerks come back.
func (q *queue) pushAgain(r *request) {
	r.flow = nil
	q.again.append(r)
	q.size++
}

// pop takes the next request; nil when none waits.
func (q *queue) pop() *request {
	if r := q.again.head; r != nil {
		q.again.remove(r)
		q.size--
		return r
	}
	if len(q.heap) == 0 {
		return nil
	}
	f := q.heap[0]
	r := f.head
	q.now = f.start
	f.remove(r)
	f.start += f.step
	q.last = max(q.last, f.start)
	if q.size--; f.count == 0 {
		q.leave(f)
	} else {
		q.down(0)
	}
	return r
}

// remove takes out a request that waits. Its flow does not pay for it.
func (q *queue) remove(r *request) {
	q.size--
	if r.flow == nil {
		q.again.remove(r)
		return
	}
	f := r.flow
	if f.remove(r); f.count == 0 {
		q.leave(f)
	}
}

// ahead counts the requests that would be taken before a new one of the flow, if no other came.
func (q *queue) ahead(name string, weight int) int {
	if q.size == 0 {
		return 0
	}
	tag, own := q.now, 0
	step := stepOf(weight)
	f := q.flows[name]
	if f != nil {
		tag, own = max(tag, f.start), f.count
		if own > 0 {
			tag = f.start
		}
	}
	tag += uint64(own) * step
	n := q.again.count + own
	for _, g := range q.heap {
		if g != f && g.start <= tag {
			n += min(g.count, int((tag-g.start)/g.step)+1)
		}
	}
	return n
}

// filter takes out the requests that are wanted.
func (q *queue) filter(wanted func(*request) bool, take func(*request)) {
	chains := []*chain{&q.again}
	for _, f := range q.heap {
		chains = append(chains, &f.chain)
	}
	for _, c := range chains {
		for r := c.head; r != nil; {
			next := r.next
			if wanted(r) {
				q.remove(r)
				take(r)
			}
			r = next
		}
	}
}

func stepOf(weight int) uint64 { return unit / uint64(min(max(weight, 1), maxWeight)) }

func (q *queue) flow(name string, weight int) *flow {
	f := q.flows[name]
	if f == nil {
		if len(q.flows)-len(q.heap) >= idleFlows {
			q.sweep()
		}
		f = &flow{name: name, place: -1, start: q.now}
		q.flows[name] = f
	}
	f.weight, f.step = min(max(weight, 1), maxWeight), stepOf(weight)
	return f
}

// sweep forgets flows whose past no longer counts.
func (q *queue) sweep() {
	if len(q.heap) == 0 {
		q.now = q.last // nobody waits whom the past could concern
	}
	for name, f := range q.flows {
		if f.count == 0 && f.start <= q.now {
			delete(q.flows, name)
		}
	}
}

// greediest is the flow with the most requests for its weight, one more of comer's included; comer unless another has
// strictly more.
func (q *queue) greediest(comer *flow) *flow {
	worst, most := comer, comer.count+1
	for _, f := range q.heap {
		if f != comer && f.count*worst.weight > most*f.weight {
			worst, most = f, f.count
		}
	}
	return worst
}

func (c *chain) append(r *request) {
	r.prev, r.next, r.queued = c.tail, nil, true
	if c.tail == nil {
		c.head = r
	} else {
		c.tail.next = r
	}
	c.tail = r
	c.count++
}

func (c *chain) remove(r *request) {
	if r.prev == nil {
		c.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		c.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next, r.queued = nil, nil, false
	c.count--
}

// The heap of flows.

func (q *queue) enter(f *flow) {
	f.place = len(q.heap)
	q.heap = append(q.heap, f)
	q.up(f.place)
}

func (q *queue) leave(f *flow) {
	i, last := f.place, len(q.heap)-1
	q.swap(i, last)
	q.heap[last] = nil
	q.heap = q.heap[:last]
	f.place = -1
	if i < last {
		q.down(i)
		q.up(i)
	}
}

func (q *queue) swap(i, j int) {
	q.heap[i], q.heap[j] = q.heap[j], q.heap[i]
	q.heap[i].place, q.heap[j].place = i, j
}

func (q *queue) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if q.heap[parent].start <= q.heap[i].start {
			return
		}
		q.swap(i, parent)
		i = parent
	}
}

func (q *queue) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q.heap); child++ {
			if q.heap[child].start < q.heap[least].start {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}
