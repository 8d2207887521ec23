package hang

import (
	"encoding/json"
	"fmt"
)

// Document follows the catalog track of one broadcast: the first object of a
// group is a whole catalog, each later one a merge patch to what was before it.
// The zero value is ready. It is for one goroutine.
type Document struct {
	group uint64
	next  uint64 // index of the object expected
	value map[string]any
}

// Apply takes the next object of the catalog track and returns the catalog as
// it is now. Objects of a group must come in order from zero; a new group starts
// anew. After an error the group is of no more use, and the next one begins
// from scratch.
func (d *Document) Apply(group, object uint64, b []byte) (Catalog, error) {
	if len(b) > MaxCatalogBytes {
		return d.fail(fmt.Errorf("%w: object of %d bytes, at most %d", ErrCatalog, len(b), MaxCatalogBytes))
	}
	if object == 0 {
		d.group, d.next, d.value = group, 0, nil
	}
	if group != d.group || object != d.next {
		return d.fail(fmt.Errorf("%w: object %d of group %d without those before it", ErrCatalog, object, group))
	}
	var patch any
	if err := json.Unmarshal(b, &patch); err != nil {
		return d.fail(fmt.Errorf("%w: %w", ErrCatalog, err))
	}
	members, ok := patch.(map[string]any)
	if !ok {
		return d.fail(fmt.Errorf("%w: not a JSON object", ErrCatalog))
	}
	if object == 0 {
		d.value = members
	} else {
		d.value = mergePatch(d.value, members)
		var err error
		if b, err = json.Marshal(d.value); err != nil {
			return d.fail(fmt.Errorf("%w: %w", ErrCatalog, err))
		}
	}
	d.next++
	c, err := ParseCatalog(b)
	if err != nil {
		return d.fail(err)
	}
	return c, nil
}

// Stale reports whether a group is older than the newest that was applied: groups may overtake one
// another on their way.
func (d *Document) Stale(group uint64) bool { return group < d.group }

func (d *Document) fail(err error) (Catalog, error) {
	// No object has this index, so nothing but a new group is taken.
	d.next, d.value = ^uint64(0), nil
	return Catalog{}, err
}

// mergePatch is RFC 7396, Section 2, for a patch that is an object. It changes
// and returns target.
func mergePatch(target, patch map[string]any) map[string]any {
	if target == nil {
		target = make(map[string]any, len(patch))
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(target, name)
		case map[string]any:
			below, _ := target[name].(map[string]any) // what is not an object is replaced by one
			target[name] = mergePatch(below, value)
		default:
			target[name] = value
		}
	}
	return target
}
