//go:build unix

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// event is something that happens to the site while samples come.
type event struct {
	at   int           // the packet that comes next
	wait time.Duration // after the burst has begun
	name string
	do   func()
}

// planner draws what happens, before it begins: the same dice give the same plan.
type planner struct {
	site    *site
	random  *rand.Rand
	link    *proxy // the publisher's
	rate    int    // packets a second
	packets int
	busy    []int // by worker: the packet up to which something is wrong with it
	events  []event
}

// most is how many workers there are in the end.
const most = 5

// kinds are what can happen. All of them do before one comes again.
var kinds = []func(p *planner, at int){
	spell("is killed", (*worker).kill, "starts again", (*worker).launch),
	spell("is killed", (*worker).kill, "starts again", (*worker).launch),
	spell("is stopped", (*worker).term, "starts again", (*worker).launch),
	spell("is paused", (*worker).pause, "goes on", (*worker).resume),
	spell("is paused", (*worker).pause, "goes on", (*worker).resume),
	spell("hears nothing", func(w *worker) { w.proxy.hold() }, "hears again", func(w *worker) { w.proxy.release() }),
	spell("is cut off", func(w *worker) { w.proxy.cut() }, "", nil),
	func(p *planner, at int) { p.note(at, "publisher is cut off", p.link.cut) },
	func(p *planner, at int) { p.restart(at, "stops", true) },
	func(p *planner, at int) { p.restart(at, "is killed", false) },
	(*planner).add,
}

// plan draws an event about each second.
func (s *site) plan(random *rand.Rand, link *proxy, packets, rate int) []event {
	p := &planner{site: s, random: random, link: link, rate: rate, packets: packets, busy: make([]int, len(s.workers))}
	var deck []int
	for at := packets / 20; at < packets*19/20; at += rate/2 + random.IntN(rate) {
		if len(deck) == 0 {
			deck = random.Perm(len(kinds))
		}
		kinds[deck[0]](p, at)
		deck = deck[1:]
	}
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return p.events
}

func (p *planner) note(at int, name string, do func()) {
	p.events = append(p.events, event{min(at, p.packets), time.Duration(p.random.IntN(10_000)) * time.Microsecond, name, do})
}

// spell is what begins and, but for what is over at once, ends within seconds. A
// worker with which something is wrong is left alone.
func spell(one string, begins func(*worker), other string, ends func(*worker)) func(p *planner, at int) {
	return func(p *planner, at int) {
		i := p.random.IntN(len(p.busy))
		end := at + p.random.IntN(5*p.rate)
		if p.busy[i] >= at {
			return
		}
		name := fmt.Sprint("worker-", i+1, " ")
		p.note(at, name+one, func() { begins(p.site.workers[i]) })
		if ends != nil {
			p.note(end, name+other, func() { ends(p.site.workers[i]) })
			p.busy[i] = end
		}
	}
}

func (p *planner) restart(at int, how string, kindly bool) {
	down := time.Duration(p.random.IntN(1000)) * time.Millisecond
	p.note(at, fmt.Sprintf("server %s for %s", how, down), func() { p.site.servers[0].restart(kindly, down) })
}

func (p *planner) add(at int) {
	if len(p.busy) == most {
		return
	}
	p.busy = append(p.busy, at)
	p.note(at, fmt.Sprintf("worker-%d is added", len(p.busy)), func() { p.site.add() })
}
