package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/miniorch/miniorch/pkg/client"
)

func TestLoadKubeconfig(t *testing.T) {
	const head = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: ns}}]\n"
	const cluster = "clusters: [{name: k, cluster: {server: 'https://h:1', certificate-authority-data: Q0E=}}]\n"
	dir := t.TempDir()
	tests := []struct {
		name, text string
		want       client.HTTPConfig
		err        string
	}{
		{name: "inline", text: head + cluster + "users: [{name: u, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}]",
			want: client.HTTPConfig{Server: "https://h:1", CAData: []byte("CA"), Namespace: "ns", CertData: []byte("CERT"), KeyData: []byte("KEY")}},
		{name: "files beside it", text: head + cluster + "users: [{name: u, user: {client-certificate: a/c.pem, client-key: /k.pem, tokenFile: t}}]",
			want: client.HTTPConfig{Server: "https://h:1", CAData: []byte("CA"), Namespace: "ns", CertFile: filepath.Join(dir, "a/c.pem"), KeyFile: "/k.pem", TokenFile: filepath.Join(dir, "t")}},
		{name: "token", text: head + "clusters: [{name: k, cluster: {server: 'https://h:1', certificate-authority: ca, tls-server-name: s}}]\nusers: [{name: u, user: {token: x, tokenFile: unused}}]",
			want: client.HTTPConfig{Server: "https://h:1", CAFile: filepath.Join(dir, "ca"), ServerName: "s", Namespace: "ns", Token: "x"}},
		{name: "no context", text: cluster, err: `there is no context ""`},
		{name: "no user", text: head + cluster, err: `there is no user "u"`},
		{name: "exec", text: head + cluster + "users: [{name: u, user: {exec: {command: x}}}]", err: "exec credentials are not supported"},
		{name: "password", text: head + cluster + "users: [{name: u, user: {username: x, password: y}}]", err: "username and password are not supported"},
		{name: "half a pair", text: head + cluster + "users: [{name: u, user: {client-certificate: c}}]", err: "must both be"},
		{name: "not yaml", text: "{", err: "yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "config")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := client.LoadKubeconfig(path)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
