package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/engine"
	"tocsin.internal/rules"
	"tocsin.internal/twins"
)

// inRooms are twins of model m, two in one room and one in another.
func inRooms() (all []twins.Twin) {
	for i, room := range []string{"hall", "hall", "yard"} {
		all = append(all, twins.Twin{
			ID:         fmt.Sprint("m", i+1),
			Properties: []rules.Property{twins.URI(rules.PropModel, "m"), twins.String("room", room)},
			Feeds:      []rules.Feed{{ID: "f"}, {ID: "g"}},
		})
	}
	return all
}

// remembering are valid documents, one for each two of the fields that make a
// rule remember, each alone and with some condition; in short, of every tenth two.
func remembering(t *testing.T) (all []*rules.Program) {
	t.Helper()
	text, err := os.ReadFile("../rules/testdata/stateful_pieces.txt")
	require.NoError(t, err)
	pieces := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, a := range pieces {
		for j, b := range pieces[i:] {
			if testing.Short() && j%10 != 0 {
				continue
			}
			fields := a
			if a != b {
				fields += "," + b
			}
			for _, condition := range []string{"", `{">":[{"var":"t"},30]}`, `{">":[{"var":"$agg.max"},30]}`, `{">":[{"var":"t"},{"var":"g.x"}]}`} {
				if p, err := rules.Load("random.json", []byte(rememberingText(fields, condition))); err == nil {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

func rememberingText(fields, condition string) string {
	if condition != "" {
		fields += `,"conditions":[{"jsonLogic":` + condition + `}]`
	}
	first := `{"alert":{"id":"a","severity":"major","summary":"{{t}} {{u}}",` + fields + `,"sourceId":"1","sourceFeedId":"f"}}`
	if strings.Contains(fields, `"emit":`) {
		first = `{"transformation":{"id":"a","outputFeedId":"o","outputFieldId":"v","outputTrueValue":1,"outputFalseValue":0,` + fields + `,"sourceId":"1","sourceFeedId":"f"}}`
	}
	return `{"id":"i","sources":[{"id":"1","modelDid":"m","feeds":[{"id":"f"},{"id":"g"}]}],"rules":[` + first +
		`,{"alert":{"id":"b","severity":"major","sourceId":"1","sourceFeedId":"g","for":"3s","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}}]}`
}

// ofThree are random samples of the twins, some of them old, some with fields
// that are missing.
func ofThree(r *rand.Rand) (samples []rules.Sample) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for i := range 60 {
		at = at.Add(time.Duration(r.IntN(3)) * time.Second)
		var fields []string
		for _, name := range []string{"t", "u", "x"} {
			if r.IntN(5) > 0 {
				fields = append(fields, fmt.Sprintf(`"%s":%d`, name, r.IntN(60)))
			}
		}
		samples = append(samples, rules.Sample{
			Twin: fmt.Sprint("m", 1+r.IntN(3)), Feed: []string{"f", "f", "g"}[r.IntN(3)],
			At:   at.Add(-time.Duration(max(0, r.IntN(12)-9)) * time.Second),
			Data: []byte("{" + strings.Join(fields, ",") + "}"), Seq: uint64(i + 1),
		})
	}
	return samples
}

// judged is what a replay makes of samples.
func judged(t *testing.T, p *rules.Program, described []twins.Twin, samples []rules.Sample) (told []string) {
	t.Helper()
	r := engine.NewReplay(map[string]*rules.Program{p.ID(): p}, described)
	for _, s := range samples {
		out, err := r.Judge(&s, nil)
		require.NoError(t, err)
		for i := range out {
			line := out[i].AppendJSON(nil)
			require.True(t, json.Valid(line), "%s\n%s", line, p.Text())
			told = append(told, string(line))
		}
	}
	return told
}

// TestReplayOfWhateverRemembers: no two fields together, on twins that are joined
// and grouped, make a replay fail, or say something else when it is repeated.
func TestReplayOfWhateverRemembers(t *testing.T) {
	programs, described := remembering(t), inRooms()
	if !testing.Short() {
		assert.Greater(t, len(programs), 1000)
	}
	outcomes := 0
	for i, p := range programs {
		samples := ofThree(rand.New(rand.NewPCG(uint64(i), 3)))
		told := judged(t, p, described, samples)
		outcomes += len(told)
		if again := judged(t, p, described, samples); !slices.Equal(told, again) {
			require.Equal(t, told, again, "%s", p.Text())
		}
	}
	assert.Greater(t, outcomes, 10*len(programs))
	t.Logf("%d documents, %d outcomes", len(programs), outcomes)
}
