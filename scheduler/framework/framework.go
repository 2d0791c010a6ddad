package framework

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Framework runs the plugins of one profile.
type Framework struct {
	name       string
	sort       QueueSort
	enqueues   []PreEnqueue
	preFilters []PreFilter
	filters    []Filter
	postFilter []PostFilter
	preScores  []PreScore
	scores     []WeightedScore
	agings     []Aging
	reserves   []Reserve
	permits    []Permit
	preBinds   []PreBind
	binds      []Bind
	postBinds  []PostBind
	wides      []wide
	hinters    map[string]Hinter // by plugin

	filterNames []string
	signers     []Signer
	shares      bool // every plugin that must be a Signer is one
	waiting     waitingPods
}

// WeightedScore is a Score plugin of a profile.
type WeightedScore struct {
	Score
	Weight int64
}

type wide struct {
	Wide
	weight          int64
	filters, scores bool
}

// New sorts the plugins of a profile by extension point.
func New(p Profile) (*Framework, error) {
	f := &Framework{name: p.SchedulerName, shares: true, hinters: make(map[string]Hinter)}
	names := make(map[string]bool)
	for _, e := range p.Plugins {
		if names[e.Name()] {
			return nil, fmt.Errorf("profile %q: plugin %s is listed twice", p.SchedulerName, e.Name())
		}
		names[e.Name()] = true
		if err := f.add(e); err != nil {
			return nil, fmt.Errorf("profile %q: %w", p.SchedulerName, err)
		}
	}
	if f.sort == nil || len(f.binds) == 0 {
		return nil, fmt.Errorf("profile %q needs a QueueSort and a Bind plugin", p.SchedulerName)
	}
	f.nameFilters(p)
	return f, nil
}

func (f *Framework) nameFilters(p Profile) {
	for _, e := range p.Plugins {
		if has[PreFilter](e, AtPreFilter) || has[Filter](e, AtFilter) {
			f.filterNames = append(f.filterNames, e.Name())
		}
	}
	for _, w := range f.wides {
		if w.filters {
			f.filterNames = append(f.filterNames, w.Name())
		}
	}
}

func (f *Framework) add(e Enabled) error {
	if x, ok := e.Plugin.(Handled); ok {
		x.Handle(f)
	}
	if has[QueueSort](e, AtQueueSort) {
		x := e.Plugin.(QueueSort)
		if f.sort != nil {
			return fmt.Errorf("%s and %s both sort the queue", f.sort.Name(), x.Name())
		}
		f.sort = x
	}
	if has[Score](e, AtScore) {
		if e.Weight <= 0 {
			return fmt.Errorf("%s scores and needs a weight", e.Name())
		}
		f.scores = append(f.scores, WeightedScore{e.Plugin.(Score), e.Weight})
	}
	if x, ok := e.Plugin.(Wide); ok && (e.on(AtFilter) || e.on(AtScore)) {
		f.wides = append(f.wides, wide{x, e.Weight, e.on(AtFilter), e.on(AtScore)})
	}
	if x, ok := e.Plugin.(Hinter); ok {
		f.hinters[x.Name()] = x
	}
	f.enqueues = appendIf(f.enqueues, e, AtPreEnqueue)
	f.preFilters = appendIf(f.preFilters, e, AtPreFilter)
	f.filters = appendIf(f.filters, e, AtFilter)
	f.postFilter = appendIf(f.postFilter, e, AtPostFilter)
	f.preScores = appendIf(f.preScores, e, AtPreScore)
	f.agings = appendIf(f.agings, e, AtPreScore)
	f.reserves = appendIf(f.reserves, e, AtReserve)
	f.permits = appendIf(f.permits, e, AtPermit)
	f.preBinds = appendIf(f.preBinds, e, AtPreBind)
	f.postBinds = appendIf(f.postBinds, e, AtPostBind)
	f.binds = appendIf(f.binds, e, AtBind)
	f.addSigner(e)
	return nil
}

func (f *Framework) addSigner(e Enabled) {
	if !has[PreFilter](e, AtPreFilter) && !has[Filter](e, AtFilter) && !has[PreScore](e, AtPreScore) && !has[Score](e, AtScore) {
		return
	}
	s, ok := e.Plugin.(Signer)
	if ok {
		f.signers = append(f.signers, s)
	}
	f.shares = f.shares && ok
}

// has reports whether a plugin takes part at an extension point.
func has[T any](e Enabled, at Point) bool {
	_, ok := e.Plugin.(T)
	return ok && e.on(at)
}

func appendIf[T any](list []T, e Enabled, at Point) []T {
	if has[T](e, at) {
		list = append(list, e.Plugin.(T))
	}
	return list
}

// Events tells the plugins that watch kinds of their own where to report; they name
// themselves.
func Events(p Profile, report func(plugin string, e Event)) {
	for _, e := range p.Plugins {
		if x, ok := e.Plugin.(EventSource); ok {
			x.Events(func(e Event) { report(x.Name(), e) })
		}
	}
}

// SchedulerName returns the name that pods ask for.
func (f *Framework) SchedulerName() string { return f.name }

// SortName returns the name of the QueueSort plugin.
func (f *Framework) SortName() string { return f.sort.Name() }

// LooksAtOneNode reports whether a plugin's refusal of a node depends on that node only.
func (f *Framework) LooksAtOneNode(plugin string) bool {
	return !slices.ContainsFunc(f.wides, func(w wide) bool { return w.Name() == plugin })
}

// Less orders waiting pods.
func (f *Framework) Less(a, b *QueuedPod) bool { return f.sort.Less(a, b) }

// PreEnqueue runs the PreEnqueue plugins up to the first that holds the pod back.
func (f *Framework) PreEnqueue(pod *PodInfo) *Status {
	for _, p := range f.enqueues {
		if s := p.PreEnqueue(pod); !s.OK() {
			return s.By(p.Name())
		}
	}
	return nil
}

// Sign returns the pod's scheduling signature, empty if the pod shares with no other. The
// priority is part of it: it decides which nominated pods count.
func (f *Framework) Sign(pod *PodInfo) string {
	if !f.shares {
		return ""
	}
	b := strconv.AppendInt(make([]byte, 0, 256), int64(pod.Priority), 36)
	for _, s := range f.signers {
		var ok bool
		if b, ok = s.Sign(b, pod); !ok {
			return ""
		}
		b = append(b, 0) // also keeps the signature from being empty
	}
	return string(b)
}

// PreFilter runs the PreFilter plugins up to the first that refuses the pod.
func (f *Framework) PreFilter(state *CycleState, pod *PodInfo, nodes Snapshot) *Status {
	if pod.Invalid != nil {
		return RefuseForGood("pod has an invalid affinity: " + pod.Invalid.Error())
	}
	skip := make(map[string]bool)
	for _, p := range f.preFilters {
		s := p.PreFilter(state, pod, nodes)
		if s.IsSkip() {
			skip[p.Name()] = true
		} else if !s.OK() {
			return s.By(p.Name())
		}
	}
	state.filters = without(f.filters, skip)
	return nil
}

func without[P Plugin](plugins []P, skip map[string]bool) []P {
	return slices.DeleteFunc(slices.Clone(plugins), func(p P) bool { return skip[p.Name()] })
}

// Filter runs the Filter plugins that PreFilter did not skip on one node, up to the first
// that refuses it.
func (f *Framework) Filter(state *CycleState, pod *PodInfo, node *NodeInfo) *Status {
	for _, p := range state.filters {
		if s := p.Filter(state, pod, node); !s.OK() {
			return s.By(p.Name())
		}
	}
	return nil
}

// FilterEach asks each Filter plugin about one node, whatever the others say; for explanations.
func (f *Framework) FilterEach(state *CycleState, pod *PodInfo, node *NodeInfo) (refusals []*Status) {
	for _, p := range state.filters {
		if s := p.Filter(state, pod, node); !s.OK() {
			refusals = append(refusals, s.By(p.Name()))
		}
	}
	return refusals
}

// FilterNames returns the names of the plugins that refuse pods or nodes, in the order they
// are asked.
func (f *Framework) FilterNames() []string { return f.filterNames }

// Surveys asks the Wide plugins about a pod. A plugin that refuses the pod ends it.
func (f *Framework) Surveys(t *Topology, pod *PodInfo) (filters []Survey, scores []WideScore, refusal *Status) {
	for _, w := range f.wides {
		s, st := w.Survey(t, pod)
		if !st.OK() {
			return nil, nil, st.By(w.Name())
		}
		if s.Filter != nil && w.filters {
			ask, name := s.Filter, w.Name()
			s.Filter = func(i int) *Status { return ask(i).By(name) }
			filters = append(filters, s)
		}
		if s.Rank != nil && w.scores && w.weight > 0 {
			scores = append(scores, WideScore{Survey: s, Name: w.Name(), Weight: w.weight})
		}
	}
	return filters, scores, nil
}

// Hints reports whether a plugin has an opinion on events.
func (f *Framework) Hints(plugin string) bool { return f.hinters[plugin] != nil }

// Helps reports whether an event may make a plugin pass a pod that it refused. known is false
// if the plugin has no opinion.
func (f *Framework) Helps(plugin string, pod *PodInfo, e Event) (helps, known bool) {
	h := f.hinters[plugin]
	if h == nil {
		return false, false
	}
	return h.Helps(pod, e), true
}

// PostFilter runs the PostFilter plugins up to the first that makes room.
func (f *Framework) PostFilter(a *Attempt) (*Nomination, *Status) {
	var last *Status
	for _, p := range f.postFilter {
		n, s := p.PostFilter(a)
		if s.OK() || s.Code == Failed {
			return n, s.By(p.Name())
		}
		if !s.IsSkip() {
			last = s.By(p.Name())
		}
	}
	return nil, last
}

// PreScore runs the PreScore plugins.
func (f *Framework) PreScore(state *CycleState, pod *PodInfo, nodes Snapshot) *Status {
	skip := make(map[string]bool)
	for _, p := range f.preScores {
		s := p.PreScore(state, pod, nodes)
		if s.IsSkip() {
			skip[p.Name()] = true
		} else if !s.OK() {
			return s.By(p.Name())
		}
	}
	state.scores = without(f.scores, skip)
	return nil
}

// Filters returns the Filter plugins that PreFilter did not skip.
func (f *Framework) Filters(state *CycleState) []Filter { return state.filters }

// Scores returns the Score plugins that PreScore did not skip.
func (f *Framework) Scores(state *CycleState) []WeightedScore {
	return state.scores
}

// Ages reports whether what PreScore plugins keep for the pod is out of date.
func (f *Framework) Ages(pod *PodInfo, old, now *NodeInfo) bool {
	return slices.ContainsFunc(f.agings, func(a Aging) bool { return a.Ages(pod, old, now) })
}

// Reserve runs the Reserve plugins; if one fails, all are told to give back.
func (f *Framework) Reserve(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status {
	for _, p := range f.reserves {
		if s := p.Reserve(ctx, state, pod, node); !s.OK() {
			f.Unreserve(ctx, state, pod, node)
			return s.By(p.Name())
		}
	}
	return nil
}

// Unreserve runs the Reserve plugins' Unreserve, last first.
func (f *Framework) Unreserve(ctx context.Context, state *CycleState, pod *PodInfo, node string) {
	for i := len(f.reserves) - 1; i >= 0; i-- {
		f.reserves[i].Unreserve(ctx, state, pod, node)
	}
}

// Permit runs the Permit plugins. Wait, with the shortest of the times asked for, means that
// the caller must Await the pod before it binds.
func (f *Framework) Permit(ctx context.Context, state *CycleState, pod *PodInfo, node string) (*Status, time.Duration) {
	var timeout time.Duration
	var waits []string
	for _, p := range f.permits {
		s, d := p.Permit(ctx, state, pod, node)
		switch {
		case s.OK():
		case s.Code == Wait:
			if waits == nil || d < timeout {
				timeout = d
			}
			waits = append(waits, p.Name())
		default:
			return s.By(p.Name()), 0
		}
	}
	if waits == nil {
		return nil, 0
	}
	f.waiting.add(pod.Pod.UID, waits)
	return &Status{Code: Wait, Reasons: waits}, timeout
}

// PreBind runs the PreBind plugins.
func (f *Framework) PreBind(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status {
	for _, p := range f.preBinds {
		if s := p.PreBind(ctx, state, pod, node); !s.OK() {
			return s.By(p.Name())
		}
	}
	return nil
}

// PostBind runs the PostBind plugins.
func (f *Framework) PostBind(pod *PodInfo) {
	for _, p := range f.postBinds {
		p.PostBind(pod)
	}
}

// Slow reports whether PreBind may take minutes for the pod.
func (f *Framework) Slow(state *CycleState, pod *PodInfo, node string) bool {
	return slices.ContainsFunc(f.preBinds, func(p PreBind) bool {
		s, ok := p.(Slow)
		return ok && s.Slow(state, pod, node)
	})
}

// Bind runs the Bind plugins up to the first that takes the pod.
func (f *Framework) Bind(ctx context.Context, state *CycleState, pod *PodInfo, node string) *Status {
	for _, p := range f.binds {
		if s := p.Bind(ctx, state, pod, node); !s.IsSkip() {
			return s.By(p.Name())
		}
	}
	return Fail(errors.New("no Bind plugin takes this pod"))
}
