package leaktest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// again runs this test binary anew in a mount namespace of its own, and returns its code; not
// if that is not allowed here.
func again() (code int, ran bool) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), envPrivate+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The kernel makes what dies with its parent die with the thread that made it: this one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGINT, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return 0, false
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it prints what it was doing
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), true
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaktest:", err)
		return 1, true
	}
	return 0, true
}

// hide mounts empty directories over those that others use as well.
func hide(dirs ...string) {
	for _, dir := range dirs {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, "")
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "leaktest: hiding %s: %v\n", dir, err)
			os.Exit(1)
		}
	}
}
