package livekit

import (
	"os/exec"
	"syscall"
)

// endWithUs lets the kernel end the process when ours has been killed.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
