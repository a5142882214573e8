// Prints what the Vertical Pod Autoscaler's own recommender makes of fixed traces, as one JSON document:
//
//	cd tests/oracles/vpa && go run . > ../vpa.json
//
// Its model (histograms, memory peaks, OOM bumps) and its logic (percentiles, margin, confidence, floors) are called
// as its controller calls them, with its default settings. The traces are made from a fixed seed.
package main

import (
	"encoding/json"
	"math"
	"math/rand"
	"os"
	"runtime/debug"
	"sort"
	"time"

	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
)

const module = "k8s.io/autoscaler/vertical-pod-autoscaler"

// The defaults of the recommender's flags.
var settings = logic.RecommendationConfig{
	SafetyMarginFraction: .15, PodMinCPUMillicores: 25, PodMinMemoryMb: 250,
	TargetCPUPercentile: .9, LowerBoundCPUPercentile: .5, UpperBoundCPUPercentile: .95,
	ConfidenceIntervalCPU:  24 * time.Hour,
	TargetMemoryPercentile: .9, LowerBoundMemoryPercentile: .5, UpperBoundMemoryPercentile: .95,
	ConfidenceIntervalMemory: 24 * time.Hour,
}

// kill is an OOM kill: seconds since the trace's begin, and the memory that the container had asked for.
type kill struct {
	At, Request int64
}

// pod is one pod's container: a sample each step from Begin on, -1 = none was taken.
type pod struct {
	Begin       int64 // steps since the trace's begin
	CPU, Memory []int64
	Kills       []kill
}

type trace struct {
	Name        string
	Start, Step int64 // Unix seconds; seconds
	Containers  map[string][]pod
	Advice      map[string]map[string]map[string]string
}

type document struct {
	Module, Version, Go, Command string
	Settings                     logic.RecommendationConfig
	Traces                       []trace
}

var shapes = []string{"flat", "diurnal", "bursty", "leak", "random", "batch"}

func usage(random *rand.Rand, shape string, count int, step int64, level, noise float64) []int64 {
	found := make([]int64, count)
	walk := 1.0
	for at := range found {
		day := float64(int64(at)*step) / 86400
		value := level
		switch shape {
		case "diurnal":
			value *= 1 + .6*math.Sin(2*math.Pi*day)
		case "bursty":
			if random.Intn(20) == 0 {
				value *= 2 + 4*random.Float64()
			}
		case "leak":
			value *= .3 + .3*math.Mod(day, 3)
		case "random":
			walk = math.Max(.05, walk+.1*random.NormFloat64())
			value *= walk
		case "batch":
			if math.Mod(day*24, 6) > 1 {
				value *= .02
			}
		}
		found[at] = int64(math.Max(0, value*(1+noise*random.NormFloat64())))
	}
	return found
}

func made(random *rand.Rand, number int) trace {
	shape := shapes[number%len(shapes)]
	one := trace{Name: shape, Start: 1760000000 + int64(random.Intn(10*86400)), Containers: map[string][]pod{}}
	one.Step = []int64{60, 300, 900, 3600}[random.Intn(4)]
	count := []int{5, 40, 200, 260}[random.Intn(4)]
	for place := range 1 + number%3/2 {
		name := []string{"app", "side"}[place]
		cpu, memory := math.Exp(1+7*random.Float64()), math.Exp(16+8*random.Float64())
		for range 1 + random.Intn(3) {
			own := pod{Begin: int64(random.Intn(4))}
			own.CPU = usage(random, shape, count, one.Step, cpu, .1)
			own.Memory = usage(random, shape, count, one.Step, memory, .03)
			for at := range own.CPU {
				if random.Intn(25) == 0 {
					own.CPU[at], own.Memory[at] = -1, -1
				}
			}
			if number%4 == 3 {
				for range 1 + random.Intn(3) {
					when := (own.Begin+int64(random.Intn(count)))*one.Step + 1
					own.Kills = append(own.Kills, kill{when, int64(memory * (.5 + random.Float64()))})
				}
				sort.Slice(own.Kills, func(i, j int) bool { return own.Kills[i].At < own.Kills[j].At })
			}
			one.Containers[name] = append(one.Containers[name], own)
		}
	}
	return one
}

// fed is what the recommender holds of one container after all of it, in order of time and then of pods.
func fed(one trace, pods []pod) *model.AggregateContainerState {
	total := model.NewAggregateContainerState()
	states := make([]*model.ContainerState, len(pods))
	var last int64
	for place, own := range pods {
		states[place] = model.NewContainerState(model.Resources{}, total)
		last = max(last, own.Begin+int64(len(own.CPU)))
	}
	for step := range last {
		at := time.Unix(one.Start+step*one.Step, 0)
		for place, own := range pods {
			index := step - own.Begin
			if index < 0 || index >= int64(len(own.CPU)) {
				continue
			}
			if own.CPU[index] >= 0 {
				for _, sample := range []model.ContainerUsageSample{
					{MeasureStart: at, Usage: model.ResourceAmount(own.CPU[index]), Resource: model.ResourceCPU},
					{MeasureStart: at, Usage: model.ResourceAmount(own.Memory[index]), Resource: model.ResourceMemory},
				} {
					states[place].AddSample(&sample)
				}
			}
			for _, killed := range own.Kills {
				if killed.At >= step*one.Step && killed.At < (step+1)*one.Step {
					_ = states[place].RecordOOM(time.Unix(one.Start+killed.At, 0), model.ResourceAmount(killed.Request))
				}
			}
		}
	}
	return total
}

func advised(one trace) map[string]map[string]map[string]string {
	states := model.ContainerNameToAggregateStateMap{}
	for name, pods := range one.Containers {
		states[name] = fed(one, pods)
		states[name].UpdateFromPolicy(nil)
	}
	found := logic.CreatePodResourceRecommender(settings).GetRecommendedPodResources(states)
	told := map[string]map[string]map[string]string{}
	listed := logic.MapToListOfRecommendedContainerResources(found, logic.RecommendationFormat{RoundCPUMillicores: 1, RoundMemoryBytes: 1})
	for _, container := range listed.ContainerRecommendations {
		told[container.ContainerName] = map[string]map[string]string{
			"target": {"cpu": container.Target.Cpu().String(), "memory": container.Target.Memory().String()},
			"lower":  {"cpu": container.LowerBound.Cpu().String(), "memory": container.LowerBound.Memory().String()},
			"upper":  {"cpu": container.UpperBound.Cpu().String(), "memory": container.UpperBound.Memory().String()},
		}
	}
	return told
}

func main() {
	random := rand.New(rand.NewSource(7))
	build, _ := debug.ReadBuildInfo()
	all := document{Module: module, Go: build.GoVersion, Command: "cd tests/oracles/vpa && go run . > ../vpa.json", Settings: settings}
	for _, one := range build.Deps {
		if one.Path == module {
			all.Version = one.Version
		}
	}
	for number := range 48 {
		one := made(random, number)
		one.Advice = advised(one)
		all.Traces = append(all.Traces, one)
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		panic(err)
	}
}
