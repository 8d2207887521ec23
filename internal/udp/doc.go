// Package udp has the UDP sockets that carry media, whose calls the Go scheduler is not
// told of, and whose packets that leave Go's poller is not told of.
//
// A system call that the scheduler knows of wakes its monitor thread, if that sleeps. It then
// looks every 20 us whether the call is stuck (sysmon in runtime/proc.go), until all
// threads of the process are idle. A node that forwards media wakes up a hundred times a second for
// some milliseconds, and the monitor was 15 % of what it took. Calls with
// MSG_DONTWAIT cannot be stuck.
//
// Go's poller asks of every socket to be told when it can be written to (netpollopen in
// runtime/netpoll_epoll.go). The kernel then wakes it with each packet that has left:
// a node with 100 viewers woke itself 500 times a second, and each time two threads
// changed places. So the poller knows of each socket what wakes who reads, see bell.
package udp
