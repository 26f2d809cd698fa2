package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMistypedCommandsAndFlagsHadNoHint(t *testing.T) {
	for args, want := range map[string]string{
		"vaildate x":               `engine: no command "vaildate"; did you mean "validate"?`,
		"help vaildate":            `engine help: no command "vaildate"; did you mean "validate"?`,
		"user lst":                 `engine user: no command "lst"; did you mean "list"?`,
		"account chnage x":         `engine account: no command "chnage"; did you mean "change"?`,
		"stickers remov meter red": `engine stickers: no command "remov"; did you mean "remove"?`,
		"subscriptions lgo x":      `engine subscriptions: no command "lgo"; did you mean "log"?`,
		"routes tset":              `engine routes: no command "tset"; did you mean "test"?`,
		"run engine.json":          `engine run: got "engine.json"; want no argument`,
		"deadletters list 17":      `engine deadletters list: got "17"; want no argument`,
		"run --rule plant":         `engine run: no flag "--rule"; did you mean "--rules"?`,
		"run -rules plant":         `engine run: no flag "-rules"; did you mean "--rules"?`,
		"alerts shelve al_1 -fro":  `engine alerts shelve: no flag "-fro"; did you mean "--for"?`,
		"alerts show --tokn-file":  `engine alerts show: no flag "--tokn-file"; did you mean "--token-file"?`,
		"demo -v":                  `engine demo: no flag "-v"`,
		"rules show":               `engine rules show: got 0 arguments; want one INTERACTION, or INTERACTION/RULE`,
	} {
		var stderr strings.Builder
		assert.Equal(t, exitWrong, run(strings.Fields(args), io.Discard, &stderr), args)
		assert.Equal(t, want+"\n", stderr.String(), args)
	}
}
