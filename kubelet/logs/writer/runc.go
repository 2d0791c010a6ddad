package writer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// RuncName is the name by which a binary is called that is to act as runc. Beside it must be
// StdioDir.
const RuncName = "runc-with-stdin"

// StdioDir holds a directory per container, by its ID, with SocketFile and StdinFile.
const StdioDir = "stdio"

// Runc becomes runc. If that is to create a container, its stdin will be the container's
// pipe, and so that of the container's process. It returns only if it fails.
func Runc(args []string) int {
	if slices.Contains(args[1:], "create") {
		if err := takeStdin(filepath.Join(filepath.Dir(args[0]), StdioDir, args[len(args)-1], StdinFile)); err != nil {
			fmt.Fprintln(os.Stderr, "opening the container's stdin:", err)
			return 1
		}
	}
	path, err := find("runc")
	if err == nil {
		err = syscall.Exec(path, append([]string{"runc"}, args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "starting runc:", err)
	return 1
}

// takeStdin makes the pipe at path the stdin of this process. The log writer holds its other
// end by now, for the shim started it first.
func takeStdin(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		return err
	}
	return syscall.Dup3(fd, 0, 0)
}

// find looks a program up as exec.LookPath does, of which the package would cost every log
// writer memory.
func find(program string) (string, error) {
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); filepath.IsAbs(path) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: not found in $PATH", program)
}
