package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestOneMasterPerDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "another miniorch-master uses "+dir) {
		t.Errorf("a second master gets %v", err)
	}
	unlock()
	again, err := lock(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	again()
}

func TestPeriodsThatCannotBeKept(t *testing.T) {
	for _, flag := range []string{"--node-monitor-grace-period=14s", "--metric-resolution=999ms", "--horizontal-pod-autoscaler-sync-period=0s"} {
		if _, err := parse([]string{flag}); err == nil || !strings.HasPrefix(err.Error(), strings.Split(flag, "=")[0]) {
			t.Errorf("%s: got %v, want a refusal that names it", flag, err)
		}
	}
}

func TestDisable(t *testing.T) {
	for _, c := range []struct {
		reason, flag string
		want         string
	}{
		{"a component", "scheduler", ""},
		{"one controller", "replicaset", ""},
		{"several", "controllers,scheduler", ""},
		{"a misspelt name would leave the part running", "schedular", "--disable schedular: one of scheduler, controllers, replicaset"},
	} {
		_, err := parse([]string{"--disable=" + c.flag})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.reason, err, c.want)
		}
	}
}
