package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzKubeconfig: a file that somebody else wrote must never crash us, and what is accepted
// must name a server of a context that exists.
func FuzzKubeconfig(f *testing.F) {
	f.Add("current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k, cluster: {server: s}}]\nusers: [{name: u, user: {token: x}}]\n")
	f.Add("users: [{name: u, user: {client-certificate-data: '!'}}]")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := LoadKubeconfig(path)
		if err != nil {
			return
		}
		if (len(cfg.CertData) == 0) != (len(cfg.KeyData) == 0) {
			t.Errorf("half a certificate pair: %+v", cfg)
		}
	})
}

// FuzzWatchFrames: a stream that somebody else sends ends or fails, and never makes us take
// more memory than a frame may have.
func FuzzWatchFrames(f *testing.F) {
	ev := metav1.WatchEvent{Type: "ADDED"}
	ev.Object.Raw = []byte("k8s\x00")
	raw, err := ev.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		next := protobufEvents(bytes.NewReader(stream))
		for events := 0; ; events++ {
			ev, err := next()
			if errors.Is(err, io.EOF) || err != nil {
				return
			}
			if events > len(stream) {
				t.Fatal("more events than bytes")
			}
			_, _ = decodeEvent(mediaProtobuf, ev)
		}
	})
}
