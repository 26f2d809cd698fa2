// Package leaktest looks for goroutines that tests have left. It waits longer than
// goleak for those that are about to end: on a busy machine that takes a while.
package leaktest

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a goroutine may take to end.
const patience = 30 * time.Second

// Main runs the tests of a package, which fail when something is left of them.
func Main(m *testing.M, known ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := Find(known...); err != nil {
			fmt.Fprintln(os.Stderr, "the tests have left goroutines:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Find is goleak.Find, again and again until nothing is left or it has had time
// enough.
func Find(known ...goleak.Option) error {
	for end := time.Now().Add(patience); ; {
		err := goleak.Find(known...)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
