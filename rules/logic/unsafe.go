package logic

import "unsafe"

// view is b as a string without a copy. It must not be used after b has changed.
// Texts of samples are compared and converted by functions that take strings;
// a copy would cost an allocation for each text longer than 32 bytes.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
