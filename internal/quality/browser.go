package quality

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// browser is a headless Chromium that shows one page.
type browser struct {
	cmd  *exec.Cmd
	home string
}

// openBrowser starts a browser, with a microphone that is made up and a camera that
// sees a film.
func openBrowser(ctx context.Context, program, film, page string) (*browser, error) {
	home, err := os.MkdirTemp("", "trellis-quality-")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program,
		"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-background-timer-throttling",
		"--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		"--use-fake-device-for-media-stream", "--use-file-for-fake-video-capture="+film, "--use-fake-ui-for-media-stream",
		"--autoplay-policy=no-user-gesture-required", "--window-size=640,400", "--user-data-dir="+home, page)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		_ = os.RemoveAll(home)
		return nil, fmt.Errorf("%s: %w; install it with: apt-get install chromium", program, err)
	}
	return &browser{cmd: cmd, home: home}, nil
}

// close ends the browser with all of its processes.
func (b *browser) close() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		_ = b.cmd.Wait() // it was told to end
		close(done)
	}()
	patience := time.NewTimer(3 * time.Second)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		<-done
	}
	_ = os.RemoveAll(b.home)
}
