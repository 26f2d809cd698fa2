package sources

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// OneLine takes the line ends out of data: samples are stored as NDJSON. Data
// that is not JSON and has some is an error, and comes back as it is.
func OneLine(data []byte) ([]byte, error) {
	if !bytes.ContainsAny(data, "\r\n") {
		return data, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return data, fmt.Errorf("not JSON: %w", err)
	}
	return b.Bytes(), nil
}
