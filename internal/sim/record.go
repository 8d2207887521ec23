package sim

import (
	"slices"
	"sync"
	"time"
)

// Arrival is a whole frame that reached a viewer.
type Arrival struct {
	Media Media
	Frame int // its number in the clip
	Due   time.Time
	At    time.Time // when its last byte came
}

// Age is how long the frame took from when it was due at the publisher.
func (a Arrival) Age() time.Duration { return a.At.Sub(a.Due) }

// Record is what a viewer received. Its methods are safe for concurrent use.
type Record struct {
	mu       sync.Mutex
	arrivals []Arrival
	groups   [mediaKinds]GroupCounts
	problems []error
}

// GroupCounts says how groups ended at a viewer (over MoQ).
type GroupCounts struct {
	Whole int // with the sender's word that there is no more
	Reset int // given up by the sender
}

func (r *Record) add(a Arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals = append(r.arrivals, a)
}

func (r *Record) group(m Media, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if whole {
		r.groups[m].Whole++
	} else {
		r.groups[m].Reset++
	}
}

func (r *Record) problem(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, err)
}

// Arrivals returns the frames of one kind in the order of their arrival.
func (r *Record) Arrivals(m Media) []Arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Arrival
	for _, a := range r.arrivals {
		if a.Media == m {
			out = append(out, a)
		}
	}
	return out
}

// Groups returns how the groups of one kind ended.
func (r *Record) Groups(m Media) GroupCounts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.groups[m]
}

// Problems returns what a viewer should never see: damaged frames, frames that
// came twice, sessions that broke.
func (r *Record) Problems() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.problems)
}

// Between returns the arrivals of frames that were due from a time on and before
// another.
func Between(arrivals []Arrival, from, to time.Time) []Arrival {
	var out []Arrival
	for _, a := range arrivals {
		if !a.Due.Before(from) && a.Due.Before(to) {
			out = append(out, a)
		}
	}
	return out
}

// Quantile returns the age that a share of the arrivals does not exceed, zero
// if there are none.
func Quantile(arrivals []Arrival, share float64) time.Duration {
	if len(arrivals) == 0 {
		return 0
	}
	ages := make([]time.Duration, len(arrivals))
	for i, a := range arrivals {
		ages[i] = a.Age()
	}
	slices.Sort(ages)
	return ages[min(int(share*float64(len(ages))), len(ages)-1)]
}

// Missing returns the numbers between the first frame and the last that did
// not arrive.
func Missing(arrivals []Arrival) []int {
	if len(arrivals) == 0 {
		return nil
	}
	numbers := make([]int, len(arrivals))
	for i, a := range arrivals {
		numbers[i] = a.Frame
	}
	slices.Sort(numbers)
	var out []int
	for want := numbers[0]; len(numbers) > 0; want++ {
		if numbers[0] != want {
			out = append(out, want)
			continue
		}
		for len(numbers) > 0 && numbers[0] == want {
			numbers = numbers[1:]
		}
	}
	return out
}
