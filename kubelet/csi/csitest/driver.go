// Package csitest is a small CSI driver that runs inside of a test: the part on the node. What it
// mounts, and how, is the test's.
package csitest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Driver is a driver on one node. Set its fields before it starts.
type Driver struct {
	csi.UnimplementedNodeServer
	registration.UnimplementedRegistrationServer

	Name     string
	NodeID   string
	Topology map[string]string
	Can      []csi.NodeServiceCapability_RPC_Type
	// Publish shows the volume of a request at its target; Unpublish ends that, also if it never was.
	Publish   func(*csi.NodePublishVolumeRequest) error
	Unpublish func(target string) error

	mu        sync.Mutex
	endpoint  string
	calls     []string                         // guarded by mu
	last      *csi.NodePublishVolumeRequest    // guarded by mu
	staged    *csi.NodeStageVolumeRequest      // guarded by mu
	registers *registration.RegistrationStatus // guarded by mu
}

// Start has the driver listen, and register in a directory of plugins; stop ends it and takes its
// sockets away.
func (d *Driver) Start(t testing.TB, registry string) (stop func()) {
	t.Helper()
	if err := os.MkdirAll(registry, 0o750); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "csi") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	d.endpoint = filepath.Join(dir, "csi.sock")
	server := grpc.NewServer()
	csi.RegisterNodeServer(server, d)
	registration.RegisterRegistrationServer(server, d)
	var serving sync.WaitGroup
	for _, path := range []string{d.endpoint, filepath.Join(registry, d.Name+"-reg.sock")} {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() { _ = server.Serve(l) })
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			server.Stop()
			serving.Wait()
			os.RemoveAll(dir)
		})
	}
	t.Cleanup(stop)
	return stop
}

// Calls returns what was asked of the driver since the last time: "stage h1", "publish h1".
func (d *Driver) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := d.calls
	d.calls = nil
	return calls
}

// Last returns the last requests to stage and to publish.
func (d *Driver) Last() (*csi.NodeStageVolumeRequest, *csi.NodePublishVolumeRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.staged, d.last
}

// Registration returns how the registration went, nil before that.
func (d *Driver) Registration() *registration.RegistrationStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.registers
}

func (d *Driver) note(verb, volume string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, verb+" "+volume)
}

// GetInfo says who registers.
func (d *Driver) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{Type: registration.CSIPlugin, Name: d.Name, Endpoint: d.endpoint, SupportedVersions: []string{"1.0.0"}}, nil
}

// NotifyRegistrationStatus hears how it went.
func (d *Driver) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registers = s
	return &registration.RegistrationStatusResponse{}, nil
}

// NodeGetInfo says what the node is to the driver.
func (d *Driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.NodeID, MaxVolumesPerNode: 8, AccessibleTopology: &csi.Topology{Segments: maps.Clone(d.Topology)}}, nil
}

// NodeGetCapabilities says what the driver can do.
func (d *Driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	var all []*csi.NodeServiceCapability
	for _, c := range slices.Sorted(slices.Values(d.Can)) {
		all = append(all, &csi.NodeServiceCapability{Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: c}}})
	}
	return &csi.NodeGetCapabilitiesResponse{Capabilities: all}, nil
}

// NodeStageVolume wants its directory to be there.
func (d *Driver) NodeStageVolume(_ context.Context, r *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	d.note("stage", r.VolumeId)
	if _, err := os.Stat(r.StagingTargetPath); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.staged = r
	d.mu.Unlock()
	return &csi.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume undoes nothing.
func (d *Driver) NodeUnstageVolume(_ context.Context, r *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	d.note("unstage", r.VolumeId)
	return &csi.NodeUnstageVolumeResponse{}, nil
}

// NodePublishVolume calls Publish.
func (d *Driver) NodePublishVolume(_ context.Context, r *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	d.note("publish", r.VolumeId)
	d.mu.Lock()
	d.last = r
	d.mu.Unlock()
	if err := d.Publish(r); err != nil {
		return nil, fmt.Errorf("publishing %s: %w", r.VolumeId, err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume calls Unpublish.
func (d *Driver) NodeUnpublishVolume(_ context.Context, r *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	d.note("unpublish", r.VolumeId)
	if err := d.Unpublish(r.TargetPath); err != nil {
		return nil, fmt.Errorf("unpublishing %s: %w", r.VolumeId, err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}
