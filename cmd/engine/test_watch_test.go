package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// paper is what a command writes on, for one who waits for words.
type paper struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return len(b), nil
}

// String is what stands there.
func (p *paper) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// await waits until the words stand there n times.
func (p *paper) await(t *testing.T, words string, n int) string {
	t.Helper()
	for {
		text := p.String()
		if strings.Count(text, words) >= n {
			return text
		}
		select {
		case <-p.more:
		case <-time.After(time.Minute):
			require.Fail(t, "never said "+words, text)
		}
	}
}

func TestWatchRunsAgainAfterAChange(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("interaction.json", `{"id":"heat","sources":[{"id":"1","modelDid":"did:m","feeds":[{"id":"t"}]}],"rules":[
		{"alert":{"id":"hot","severity":"major","sourceId":"1","sourceFeedId":"t","conditions":[{"jsonLogic":{">":[{"var":"x"},30]}}]}}]}`)
	test := func(x string) {
		write("tests.json", `[{"name":"hot","samples":[{"at":"0s","twin":"m","data":{"x":`+x+`}}],"want":[{"outcome":{"event":"raised"}}]}]`)
	}
	test("31")
	out := &paper{more: make(chan struct{}, 1)}
	watcher, err := newTester(testFlags{watch: true, junit: filepath.Join(dir, "report.xml")}, []string{dir}, out, out)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watcher.watch(ctx) }()
	out.await(t, "ok    "+dir, 1)
	test("30")
	out.await(t, "0 passed, 1 failed", 1)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	write("sub/interaction.json", `{"id":"sub","sources":[],"rules":[]}`)
	out.await(t, "FAIL  "+filepath.Join(dir, "sub"), 1)
	write("sub/interaction.json", `{`)
	out.await(t, "the document ends too early", 1)
	test("32")
	text := out.await(t, "ok    "+dir, 2)
	assert.NotContains(t, text, "\033", "the screen is cleared on terminals only")
	stop()
	assert.NoError(t, <-ended)
}

func TestLongRun(t *testing.T) {
	for in, want := range map[string]string{
		"test a -run x":  "test a --run x",
		"test a -run=x":  "test a --run=x",
		"test a --run x": "test a --run x",
		"replay -run x":  "replay -run x",
	} {
		assert.Equal(t, strings.Fields(want), longRun(strings.Fields(in)), in)
	}
}
