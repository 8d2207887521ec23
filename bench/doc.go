// Command bench measures what the backbone costs, and writes down where.
//
//	go run ./bench                      every scenario, five rounds
//	go run ./bench -run fanout -rounds 9
//	go run ./bench -list
//
// The cases of a scenario take turns, round after round, so that what else the
// machine does meanwhile falls on all of them alike; figures are medians over
// the rounds, with the range beside them, and ratios are formed within a round.
// Processor time is user and system time of the process. Latencies are open
// loop: from the moment when an object was due to be sent, by schedule, so that
// a stalled sender is counted.
//
// Results go to bench/results as JSON with machine, commit and Go version. All
// figures are measured: nothing here runs in virtual time.
package main
