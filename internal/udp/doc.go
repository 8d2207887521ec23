// Package udp has the UDP sockets that carry media, whose calls the Go scheduler is not
// told of.
//
// A system call that the scheduler knows of wakes its monitor thread, if that sleeps. It then
// looks every 20 us whether the call is stuck (sysmon in runtime/proc.go), until all
// threads of the process are idle. A node that forwards media wakes up a hundred times a second for
// some milliseconds, and the monitor was 15 % of what it took. Calls with
// MSG_DONTWAIT cannot be stuck.
package udp
