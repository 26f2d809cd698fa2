//go:build unix

package mapfile

import (
	"os"
	"syscall"
)

func mapped(f *os.File, size int64) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_PRIVATE)
}

func unmapped(text []byte) error { return syscall.Munmap(text) }
