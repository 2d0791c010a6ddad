package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/miniorch/miniorch/kubelet/sandbox"
)

// reply answers each datagram in the sandbox with a name.
func reply(t *testing.T, box sandbox.Result, port int, name string) {
	t.Helper()
	ns, err := netns.GetFromPath(box.NetNSPath)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	within(t, ns, func() error {
		conn, err := net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { conn.Close() })
		go func() {
			buf := make([]byte, 16)
			for {
				_, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo([]byte(name), from)
			}
		}()
		return nil
	})
}

// A client that keeps its socket reaches whichever pod has the host port.
func TestDatagramsFollowTheHostPort(t *testing.T) {
	ms := twoMachines(t, netip.MustParsePrefix("10.89.0.11/24"), netip.MustParsePrefix("10.89.0.12/24"))
	var client net.Conn
	within(t, ms[1].ns, func() (err error) {
		client, err = net.Dial("udp4", "10.89.0.11:5353")
		return err
	})
	t.Cleanup(func() { client.Close() })
	ask := func() (string, error) {
		if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return "", err
		}
		if _, err := client.Write([]byte("?")); err != nil {
			return "", err
		}
		buf := make([]byte, 16)
		n, err := client.Read(buf)
		return string(buf[:n]), err
	}
	if _, err := ask(); !errors.Is(err, unix.ECONNREFUSED) { // and the flow is tracked
		t.Errorf("while no pod has the port: %v, want a refusal", err)
	}
	for _, name := range []types.UID{"a", "b"} {
		box := ms[0].setup(sandbox.Spec{UID: name, Hostname: string(name), HostPorts: []sandbox.HostPort{{Protocol: corev1.ProtocolUDP, HostPort: 5353, ContainerPort: 53}}})
		reply(t, box, 53, string(name))
		if got, err := ask(); got != string(name) {
			t.Errorf("the host port of pod %s is answered by %q, err %v", name, got, err)
		}
		within(t, ms[0].ns, func() error { return ms[0].net.Teardown(context.Background(), name) })
	}
}
