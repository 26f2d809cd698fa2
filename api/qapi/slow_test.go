package qapi_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"

	"tocsin.internal/api/qapi"
)

// Who is too slow with a body is told just that, and not how the server noticed.
func TestASlowBodyIsToldSo(t *testing.T) {
	mux := http.NewServeMux()
	for _, r := range qapi.New(qapi.Options{}).Routes() {
		mux.Handle(r.Pattern, r.Handler)
	}
	for _, path := range []string{"/qapi/searches", "/qapi/twins"} {
		to := httptest.NewRecorder()
		mux.ServeHTTP(to, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, iotest.ErrReader(os.ErrDeadlineExceeded)))
		assert.Equal(t, http.StatusRequestTimeout, to.Code, path)
		assert.Equal(t, `{"code":4,"message":"the body came too slowly","details":[]}`+"\n", to.Body.String(), path)
	}
}
