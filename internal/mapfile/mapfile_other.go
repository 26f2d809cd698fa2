//go:build !unix

package mapfile

import (
	"errors"
	"os"
)

func mapped(*os.File, int64) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmapped([]byte) error { return nil }
