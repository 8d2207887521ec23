package backbone

import (
	"context"

	"trellis/routing/discovery"
)

// Life says which other nodes show life: by a link, or by adverts that arrive by
// way of others. It waits for the mesh's loop; without a mesh that runs, nobody
// does.
func (m *Mesh) Life(ctx context.Context) map[string]discovery.Life {
	life := map[string]discovery.Life{}
	// An error says that the mesh ends, and with it the question.
	_ = m.call(ctx, func() {
		for id := range m.adverts.records {
			life[id] = discovery.Heard
		}
		for id := range m.links {
			life[id] = discovery.Linked
		}
	})
	return life
}
