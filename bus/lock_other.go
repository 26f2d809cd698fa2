//go:build !unix

package bus

import "os"

// lockFile opens the file without a lock: this system has no flock.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
}
