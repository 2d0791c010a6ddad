package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/miniorch/miniorch/kubelet/container"
)

// accounts is the user database of an image: its /etc/passwd and /etc/group.
type accounts struct {
	users  []account
	groups []group
}

type account struct {
	name     string
	uid, gid int64
}

type group struct {
	name    string
	gid     int64
	members []string
}

// resolveUser is the pure rule for whom a process runs as: the pod's choice, else the
// image's, names looked up in the image's own files.
func resolveUser(want container.Security, imageUser string, db accounts) (specs.User, error) {
	userPart, groupPart, _ := strings.Cut(imageUser, ":")
	if want.User != nil {
		userPart, groupPart = strconv.FormatInt(*want.User, 10), ""
	}
	if userPart == "" {
		userPart = "0"
	}
	user, err := db.user(userPart)
	if err != nil {
		return specs.User{}, err
	}
	gid := user.gid
	if groupPart != "" {
		if gid, err = db.group(groupPart); err != nil {
			return specs.User{}, err
		}
	}
	if want.Group != nil {
		gid = *want.Group
	}
	if err := checkNonRoot(want, userPart, user.uid); err != nil {
		return specs.User{}, err
	}
	extra := append(db.memberships(user.name), want.SupplementalGroups...)
	out := specs.User{}
	if out.UID, err = id32(user.uid); err != nil {
		return specs.User{}, err
	}
	if out.GID, err = id32(gid); err != nil {
		return specs.User{}, err
	}
	for _, g := range extra {
		id, err := id32(g)
		if err != nil {
			return specs.User{}, err
		}
		if !slices.Contains(out.AdditionalGids, id) {
			out.AdditionalGids = append(out.AdditionalGids, id)
		}
	}
	return out, nil
}

// checkNonRoot enforces runAsNonRoot. The words are those people find in search engines.
func checkNonRoot(want container.Security, named string, uid int64) error {
	if !want.RunAsNonRoot {
		return nil
	}
	_, numeric := parseID(named)
	switch {
	case want.User != nil && uid == 0:
		return fmt.Errorf("%w and runAsUser is 0: container's runAsUser breaks non-root policy", container.ErrRunAsNonRoot)
	case !numeric:
		return fmt.Errorf("%w and image has non-numeric user (%s), cannot verify user is non-root", container.ErrRunAsNonRoot, named)
	case uid == 0:
		return fmt.Errorf("%w and image will run as root", container.ErrRunAsNonRoot)
	}
	return nil
}

func (db accounts) user(named string) (account, error) {
	id, numeric := parseID(named)
	for _, u := range db.users {
		if (numeric && u.uid == id) || u.name == named {
			return u, nil
		}
	}
	if numeric {
		return account{uid: id}, nil // unknown to the image: group 0, as Docker has it
	}
	return account{}, fmt.Errorf("unable to find user %s: no matching entries in passwd file", named)
}

func (db accounts) group(named string) (int64, error) {
	if id, numeric := parseID(named); numeric {
		return id, nil
	}
	for _, g := range db.groups {
		if g.name == named {
			return g.gid, nil
		}
	}
	return 0, fmt.Errorf("unable to find group %s: no matching entries in group file", named)
}

// memberships are the groups that list the user as a member.
func (db accounts) memberships(user string) []int64 {
	var out []int64
	for _, g := range db.groups {
		if user != "" && slices.Contains(g.members, user) {
			out = append(out, g.gid)
		}
	}
	return out
}

func parseID(s string) (int64, bool) {
	id, err := strconv.ParseInt(s, 10, 64)
	return id, err == nil
}

func id32(id int64) (uint32, error) {
	if id < 0 || id > math.MaxInt32 {
		return 0, fmt.Errorf("user or group ID %d is out of range", id)
	}
	return uint32(id), nil
}

// accounts reads, or remembers, the user database of an image.
func (r *Runtime) accounts(ctx context.Context, info imageInfo) (accounts, error) {
	r.images.mu.Lock()
	db, known := r.images.users[info.chainID]
	r.images.mu.Unlock()
	if known {
		return db, nil
	}
	snapshotter, _, err := r.snapshots(ctx)
	if err != nil {
		return accounts{}, err
	}
	key := viewPrefix + r.cfg.NewID()
	mounts, err := snapshotter.View(ctx, key, info.chainID)
	if err != nil {
		return accounts{}, fmt.Errorf("viewing image: %w", translate(err))
	}
	defer func() {
		if err := snapshotter.Remove(context.WithoutCancel(ctx), key); err != nil {
			r.cfg.Logger.Warn("cannot remove the view of an image", "snapshot", key, "error", err)
		}
	}()
	if db, err = r.readAccounts(mounts); err != nil {
		return accounts{}, err
	}
	r.images.mu.Lock()
	r.images.users[info.chainID] = db
	r.images.mu.Unlock()
	return db, nil
}

// readAccounts mounts an image for a moment to look into it.
func (r *Runtime) readAccounts(mounts []mount.Mount) (db accounts, err error) {
	if err := os.MkdirAll(r.cfg.StateDir, 0o711); err != nil {
		return accounts{}, fmt.Errorf("reading users of image: %w", err)
	}
	dir, err := os.MkdirTemp(r.cfg.StateDir, viewPrefix)
	if err != nil {
		return accounts{}, fmt.Errorf("reading users of image: %w", err)
	}
	defer os.Remove(dir)
	if err := mount.All(mounts, dir); err != nil {
		return accounts{}, fmt.Errorf("mounting image: %w", err)
	}
	defer func() { err = errors.Join(err, mount.UnmountAll(dir, 0)) }()
	root, err := os.OpenRoot(dir) // the image may hold symbolic links to anywhere
	if err != nil {
		return accounts{}, fmt.Errorf("opening image: %w", err)
	}
	defer root.Close()
	err = eachRecord(root, "etc/passwd", 4, func(f []string) {
		uid, ok := parseID(f[2])
		gid, ok2 := parseID(f[3])
		if ok && ok2 {
			db.users = append(db.users, account{name: f[0], uid: uid, gid: gid})
		}
	})
	if err != nil {
		return accounts{}, err
	}
	return db, eachRecord(root, "etc/group", 4, func(f []string) {
		if gid, ok := parseID(f[2]); ok {
			db.groups = append(db.groups, group{name: f[0], gid: gid, members: strings.Split(f[3], ",")})
		}
	})
}

// eachRecord visits the colon-separated lines of a file that may be missing.
func eachRecord(root *os.Root, name string, fields int, visit func([]string)) error {
	const most = 4 << 20 // an image is a stranger; its user database is not read without bound
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading users of image: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("reading users of image: /%s is not a regular file", name)
	}
	lines := bufio.NewScanner(io.LimitReader(f, most))
	for lines.Scan() {
		if record := strings.Split(strings.TrimSpace(lines.Text()), ":"); len(record) >= fields {
			visit(record)
		}
	}
	return lines.Err()
}

// viewPrefix begins the names of the short-lived views of images.
const viewPrefix = "miniorch-view-"
