package container

import "io"

// Image is an image present on the node.
type Image struct {
	ID          string   // digest of its configuration, "sha256:…"
	Ref         string   // the reference that was asked for
	RepoTags    []string // "docker.io/library/busybox:1"
	RepoDigests []string // "docker.io/library/busybox@sha256:…"
	Size        int64    // bytes of the compressed content
	// User is what the image says its process runs as: UID if it is a number, else Name.
	// Both are unset when the image does not say, which means root.
	User ImageUser
}

// ImageUser is the user part of an image's USER instruction.
type ImageUser struct {
	UID  *int64
	Name string
}

// IsRoot reports whether the image's process is known to run as root.
func (u ImageUser) IsRoot() bool {
	return (u.UID == nil && u.Name == "") || (u.UID != nil && *u.UID == 0) || u.Name == "root"
}

// PullRequest asks for an image.
type PullRequest struct {
	Ref  string
	Auth *RegistryAuth // nil pulls as nobody
	// Progress, if set, is called now and then, and once at the end, from one goroutine.
	Progress func(PullProgress)
}

// RegistryAuth is one set of credentials of a registry.
type RegistryAuth struct {
	Username string
	Password string
	// IdentityToken is exchanged for an access token, instead of a user and password.
	IdentityToken string
	// RegistryToken is sent as it is.
	RegistryToken string
}

// PullProgress says how far a pull has come.
type PullProgress struct {
	Stage      string // "resolving", "downloading", "unpacking", "done"
	Layers     int    // known so far
	LayersDone int
	Bytes      int64 // fetched
	TotalBytes int64 // known so far
}

// ExecRequest runs a further process in a running container.
type ExecRequest struct {
	Command []string
	Stdin   io.Reader // nil: none
	Stdout  io.Writer // nil: dropped
	Stderr  io.Writer // nil: dropped; unused with TTY
	TTY     bool
	Resize  <-chan Size // nil: never; with TTY only
}

// AttachRequest joins the streams of a container's own process.
type AttachRequest struct {
	Stdin  io.Reader // nil: none
	Stdout io.Writer // nil: dropped
	Stderr io.Writer // nil: dropped; unused by containers with a terminal
	Resize <-chan Size
}
