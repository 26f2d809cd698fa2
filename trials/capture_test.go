package trials_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"tocsin.internal/internal/strictjson"
	"tocsin.internal/rules"
	"tocsin.internal/trials"
	"tocsin.internal/twins"
)

const linked = `{"id":"press","sources":[
  {"id":"presses","modelDid":"did:press","feeds":[{"id":"state"}]},
  {"id":"rooms","modelDid":"did:room","feeds":[{"id":"climate"}]}],"rules":[
  {"alert":{"id":"hot","severity":"major","sourceId":"presses","sourceFeedId":"state","for":"30m",
    "conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}},
  {"alert":{"id":"hotter","severity":"major","sourceId":"presses","sourceFeedId":"state",
    "join":{"as":"room","sourceId":"rooms","sourceFeedId":"climate","on":{"property":"https://example.com#hall"}},
    "conditions":[{"jsonLogic":{">":[{"var":"x"},{"var":"room.x"}]}}]}},
  {"alert":{"id":"crowd","severity":"major","sourceId":"presses","sourceFeedId":"state",
    "groupBy":{"property":"https://example.com#hall"},"quorum":{"count":2},
    "conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}}]}`

func twin(id, model, hall string) string {
	return `{"twinId":"` + id + `","feeds":[{"id":"state"},{"id":"climate"}],"properties":[
	  {"key":"https://data.iotics.com/app#model","uriValue":{"value":"` + model + `"}},
	  {"key":"https://example.com#hall","stringLiteralValue":{"value":"` + hall + `"}}]}`
}

func known(t *testing.T) []twins.Twin {
	t.Helper()
	raw, err := strictjson.Parse("twins", []byte("["+twin("press_1", "did:press", "a")+","+twin("press_2", "did:press", "a")+","+
		twin("press_3", "did:press", "b")+","+twin("room_a", "did:room", "a")+","+twin("room_b", "did:room", "b")+`,{"twinId":"did:press"}]`))
	require.NoError(t, err)
	list, err := twins.Decode(raw)
	require.NoError(t, err)
	return list
}

func TestRelated(t *testing.T) {
	p, err := rules.Load("press", []byte(linked))
	require.NoError(t, err)
	for _, tt := range []struct {
		rule, twin string
		want       []string
	}{
		{"hot", "press_1", []string{"press_1", "did:press"}},
		{"hotter", "press_1", []string{"press_1", "room_a", "did:press"}},
		{"crowd", "a", []string{"press_1", "press_2", "did:press"}},
		{"hot", "press_9", nil},
	} {
		var got []string
		for _, x := range trials.Related(p, tt.rule, known(t), tt.twin) {
			got = append(got, x.ID)
		}
		assert.Equal(t, tt.want, got, "%s of %s", tt.rule, tt.twin)
	}
}

func at(clock string) time.Time {
	t, _ := time.Parse(time.RFC3339, "2026-11-02T"+clock+"Z")
	return t
}

func TestCapture(t *testing.T) {
	p, err := rules.Load("press", []byte(linked))
	require.NoError(t, err)
	var samples []rules.Sample
	for i, clock := range []string{"09:00:00", "09:20:00", "09:40:00", "09:55:00", "10:10:00", "10:20:00"} {
		x := "31"
		if i == 0 || i == 5 {
			x = "20"
		}
		samples = append(samples, rules.Sample{Twin: "press_1", Feed: "state", At: at(clock), Seq: uint64(i + 1), Data: []byte("{\n \"x\": " + x + "}")})
	}
	c := &trials.Capture{
		Program: p, Twins: trials.Related(p, "hot", known(t), "press_1"), Samples: samples,
		Raised: rules.Outcome{Kind: rules.Alert, Interaction: "press", Rule: "hot", Twin: "press_1", At: at("09:50:00"), ID: "al_other", State: rules.StateFiring},
		Before: 10 * time.Minute, After: 40 * time.Minute, Now: at("10:25:00"),
	}
	dir := filepath.Join(t.TempDir(), "made", "here")
	done, err := c.Write(dir)
	require.NoError(t, err)
	assert.Equal(t, trials.Captured{Files: done.Files, Samples: 6, Outcomes: 2, Before: 80 * time.Minute}, done, "another id: all samples are taken, and it is said")
	found, err := trials.Find(dir)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, found[0].Err)
	require.Len(t, found[0].Cases, 1)
	assert.Empty(t, complaint(found[0], found[0].Cases[0]))
	text, err := os.ReadFile(filepath.Join(dir, "tests.json"))
	require.NoError(t, err)
	assert.Contains(t, string(text), `"until": "2026-11-02T10:25:00Z"`, "what comes later is not known")
	_, err = c.Write(dir)
	assert.ErrorContains(t, err, "is there already")

	c.Samples = nil
	_, err = c.Write(filepath.Join(t.TempDir(), "none"))
	assert.ErrorContains(t, err, "does not retain the samples around the alert any more")
}
