//go:build e2e

package sim

import (
	"testing"
	"time"
)

// TestConsulGoneForADay is row 8 of the fault catalogue at its full length: some
// minutes of processor time.
func TestConsulGoneForADay(t *testing.T) { absence(t, 24*time.Hour) }
