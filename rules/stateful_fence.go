package rules

import (
	"math"

	"tocsin.internal/rules/geo"
	"tocsin.internal/rules/logic"
)

// fence is the geofence of a rule.
type fence struct {
	area               *geo.Area
	on                 string
	lat, lon, accuracy field
	hasAccuracy        bool
	dwell              int64
	bufferKm           float64
	initial            bool
}

// fenceState is where a twin is.
type fenceState struct {
	Known   bool  `json:"known,omitempty"`
	In      bool  `json:"in,omitempty"`
	Crossed bool  `json:"crossed,omitempty"` // it has come in, or gone out, since it was first seen
	Leaving bool  `json:"leaving,omitempty"` // it is on the other side, but not yet for as long as dwell
	Since   int64 `json:"since,omitempty"`   // Leaving: since when
}

// due is when a twin has been on the other side for long enough; noTime: it is not.
func (f *fence) due(st *fenceState) int64 {
	if !st.Leaving {
		return noTime
	}
	return st.Since + f.dwell
}

// judge takes a fix, or at a timer none.
func (f *fence) judge(j *judgement) logic.Verdict {
	st := &j.m.part().fence
	if j.feed == nil {
		if st.Leaving && j.at-st.Since >= f.dwell {
			f.cross(st)
		}
		if !st.Known {
			return logic.Unknown
		}
		return f.holds(st)
	}
	at := geo.Point{Lat: j.feed.number(f.lat), Lon: j.feed.number(f.lon)}
	if math.IsNaN(at.Lat) || math.IsNaN(at.Lon) || math.Abs(at.Lat) > 90 || math.Abs(at.Lon) > 180 {
		return logic.Unknown
	}
	border := math.Inf(1)
	if f.bufferKm > 0 || f.hasAccuracy {
		border = f.area.DistanceKm(at)
	}
	if f.hasAccuracy && j.feed.number(f.accuracy)/1000 > border {
		return logic.Unknown // it may as well be on the other side
	}
	in := f.area.Contains(at) || st.Known && st.In && border <= f.bufferKm
	switch {
	case !st.Known && f.dwell > 0 && (f.on == FenceInside || f.on == FenceOutside):
		st.Known, st.In, st.Leaving, st.Since = true, !in, true, j.at // it has yet to stay there
	case !st.Known:
		st.Known, st.In, st.Crossed = true, in, f.initial
	case in == st.In:
		st.Leaving = false
	case !st.Leaving:
		st.Leaving, st.Since = true, j.at
		fallthrough
	default:
		if j.at-st.Since >= f.dwell {
			f.cross(st)
		}
	}
	return f.holds(st)
}

func (f *fence) cross(st *fenceState) { st.In, st.Crossed, st.Leaving = !st.In, true, false }

// holds says whether the twin is where the rule asks. To enter or to exit takes
// that it was seen on the other side before.
func (f *fence) holds(st *fenceState) logic.Verdict {
	isTrue := st.In == (f.on == FenceInside || f.on == FenceEnter)
	if f.on == FenceEnter || f.on == FenceExit {
		isTrue = isTrue && st.Crossed
	}
	if isTrue {
		return logic.True
	}
	return logic.False
}
