// Prints what Kubernetes itself makes of quantities, and Go of durations, as one JSON document:
//
//	cd tests/oracles/quantities && go run . > ../quantities.json
//
// The texts are made from a fixed seed; which module made the answers stands in the document.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

const module = "k8s.io/apimachinery"

// read is one text: as it is printed once it was computed with, and its form.
type read struct {
	Text, Canonical, Form string
}

// pair is two texts: their sum, their difference, and how they compare.
type pair struct {
	One, Other, Sum, Difference string
	Compare                     int
}

type document struct {
	Module, Version, Go, Command string
	Read                         []read
	Pairs                        []pair
	Durations                    map[string]string
}

var suffixes = strings.Fields("n u m k M G T P E Ki Mi Gi Ti Pi Ei e0 e3 e-3 E6 e-9 e2 e+1 e-10")

func number(random *rand.Rand) string {
	text := fmt.Sprint(random.Int63n(int64(1) << uint(1+random.Intn(50))))
	switch random.Intn(6) {
	case 0:
		text = fmt.Sprint(random.Intn(40) * 1000)
	case 1:
		text = fmt.Sprint(random.Intn(40) * 1024)
	case 2:
		text += "." + fmt.Sprint(random.Intn(1000))
	case 3:
		text = "0.00" + fmt.Sprint(random.Intn(100000))
	}
	if random.Intn(8) == 0 {
		text = "-" + text
	}
	return text
}

func texts(random *rand.Rand, count int) []string {
	found := strings.Fields("0 -0 0Ki 1 1023 1024 1023Ki 1024Ki 0.5Ki 0.0001Ki 1.5Gi 100m 1000m 0.1n 1e3 1E3 12e6 1e-10" +
		" 9223372036854775807 9223372036854775808 8Ei 7Ei 8191Pi 1E 999E .5 1. 1.G 0001 +5 -5Mi -1024 -1023Ki 1.0000000001")
	for len(found) < count {
		suffix := ""
		if random.Intn(5) > 0 {
			suffix = suffixes[random.Intn(len(suffixes))]
		}
		text := number(random) + suffix
		if hasSuffix(resource.MustParse(text)) {
			found = append(found, text)
		}
	}
	return found
}

// hasSuffix tells what Kubernetes can print: beyond 999E it leaves the suffix out, and nobody wants that.
func hasSuffix(value resource.Quantity) bool {
	limit := resource.MustParse("999E")
	if value.Sign() < 0 {
		value = value.DeepCopy()
		value.Neg()
	}
	return value.Cmp(limit) <= 0
}

// computed is the value without the text that it was parsed from.
func computed(text string) resource.Quantity {
	value := resource.MustParse(text)
	value.Add(resource.Quantity{})
	return value
}

func pairs(random *rand.Rand, from []string, count int) []pair {
	var found []pair
	for len(found) < count {
		one, other := from[random.Intn(len(from))], from[random.Intn(len(from))]
		sum, difference := computed(one), computed(one)
		sum.Add(resource.MustParse(other))
		difference.Sub(resource.MustParse(other))
		first := computed(one)
		if !hasSuffix(sum) || !hasSuffix(difference) {
			continue
		}
		found = append(found, pair{one, other, sum.String(), difference.String(), first.Cmp(resource.MustParse(other))})
	}
	return found
}

func durations(random *rand.Rand) map[string]string {
	found := map[string]string{}
	for _, one := range []int64{0, 1, 999, 1000, 1500, 999999, 1000000, 250e6, 1e9, 1e9 + 1, 10062e6, 60e9, 60500e6, 3600e9, 3661e9, -5e9} {
		found[fmt.Sprint(one)] = time.Duration(one).String()
	}
	for range 300 {
		one := random.Int63n(int64(1) << uint(1+random.Intn(50)))
		if random.Intn(2) == 0 {
			one = one / 1000000 * 1000000
		}
		found[fmt.Sprint(one)] = time.Duration(one).String()
	}
	return found
}

func main() {
	random := rand.New(rand.NewSource(5))
	build, _ := debug.ReadBuildInfo()
	made := document{Module: module, Go: build.GoVersion, Command: "cd tests/oracles/quantities && go run . > ../quantities.json"}
	for _, one := range build.Deps {
		if one.Path == module {
			made.Version = one.Version
		}
	}
	all := texts(random, 2000)
	for _, text := range all {
		value := computed(text)
		made.Read = append(made.Read, read{text, value.String(), string(value.Format)})
	}
	made.Pairs = pairs(random, all, 2000)
	made.Durations = durations(random)
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(made); err != nil {
		panic(err)
	}
}
