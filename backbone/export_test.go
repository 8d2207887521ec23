package backbone

import (
	"context"
	"testing"
)

// WantLink asks for a link from outside of the loop, or takes that back.
func WantLink(tb testing.TB, m *Mesh, node string, wanted bool) {
	tb.Helper()
	err := m.call(context.Background(), func() {
		if wanted {
			m.want(node, "test")
		} else {
			m.unwant(node, "test")
		}
	})
	if err != nil {
		tb.Fatal(err)
	}
}
