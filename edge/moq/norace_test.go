//go:build !race

package moq

const raceEnabled = false
