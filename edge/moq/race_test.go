//go:build race

package moq

const raceEnabled = true
