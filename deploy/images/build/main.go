// Command build writes the project's images as tarballs into a directory, from where
// `miniorch-node --image-dir` imports them. `make images` calls it.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/miniorch/miniorch/deploy/images"
)

func main() {
	demo := flag.String("demo", "bin/demo", "the demo program, a static binary")
	busybox := flag.String("busybox", "/bin/busybox", "a static busybox")
	out := flag.String("o", "bin/images", "the directory for the tarballs")
	flag.Parse()
	if err := build(*demo, *busybox, *out); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(demo, busybox, out string) error {
	for _, version := range []string{"v1", "v2"} {
		img, err := images.Demo(demo, version, runtime.GOARCH)
		if err != nil {
			return err
		}
		names := []string{"miniorch/demo:" + version}
		if version == "v1" {
			names = append(names, "miniorch/demo:latest")
		}
		if err := images.WriteTarball(filepath.Join(out, "demo-"+version+".tar"), img, names...); err != nil {
			return err
		}
		fmt.Println(names)
	}
	img, err := images.Busybox(busybox, runtime.GOARCH)
	if err != nil {
		return err
	}
	names := []string{"busybox:1", "busybox:latest"}
	fmt.Println(names)
	return images.WriteTarball(filepath.Join(out, "busybox.tar"), img, names...)
}
