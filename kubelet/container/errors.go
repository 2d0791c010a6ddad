package container

import "errors"

// Errors that the pod worker tells apart. Test with errors.Is.
var (
	// ErrNotFound: no such container.
	ErrNotFound = errors.New("container not found")
	// ErrImageNotFound: the image is not on the node, or its registry does not have it.
	ErrImageNotFound = errors.New("image not found")
	// ErrInvalidImageName: the reference cannot be parsed.
	ErrInvalidImageName = errors.New("invalid image name")
	// ErrImagePullUnauthorized: the registry wants other credentials.
	ErrImagePullUnauthorized = errors.New("registry refused the credentials")
	// ErrRunAsNonRoot: the container would run as root, or it is not known that it would not.
	ErrRunAsNonRoot = errors.New("container has runAsNonRoot")
	// ErrCommand: the container's command could not be executed.
	ErrCommand = errors.New("cannot run the command")
	// ErrNotRunning: the container has no running process.
	ErrNotRunning = errors.New("container is not running")
	// ErrNoStdin: the container was not started with an open stdin.
	ErrNoStdin = errors.New("container has no stdin")
	// ErrUnavailable: containerd cannot be reached now.
	ErrUnavailable = errors.New("container runtime unavailable")
)
