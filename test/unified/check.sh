#!/usr/bin/env bash
# Checks what depends on cgroup v2, on a real cluster of this machine. See run.sh.
set -euo pipefail

root=/sys/fs/cgroup
ctl() { miniorchctl --kubeconfig /tmp/kubeconfig "$@"; }
pass() { echo "ok    $*"; }
fail() { echo "FAIL  $*"; return 1; }

# same NAME GOT WANT
same() { [ "$2" = "$3" ] && pass "$1: $2" || fail "$1: $2, want $3"; }

# until_is NAME WANT COMMAND…: waits until the command prints it.
until_is() {
  local name=$1 want=$2 got="" end=$((SECONDS + 900))
  shift 2
  while [ $SECONDS -lt $end ]; do
    got=$("$@" 2>&1) || true
    [ "$got" = "$want" ] && { pass "$name: $got"; return; }
    sleep 0.2
  done
  fail "$name: $got, want $want"
}

field() { ctl get "$1" "$2" -o "jsonpath=$3"; }
# group_of POD is the directory of a pod's control group.
group_of() { find $root -type d -name "pod$(field pod "$1" '{.metadata.uid}')"; }

package_tests() {
  local program
  for program in /payload/tests/*; do
    (cd /tmp && "$program" -test.short -test.timeout 10m >/tmp/log 2>&1) && pass "${program##*/}" || { cat /tmp/log; fail "${program##*/}"; }
  done
}

pods() {
  cat <<'END'
apiVersion: v1
kind: Pod
metadata: {name: bounded}
spec:
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "1000"]
    resources: {requests: {cpu: 250m, memory: 32Mi}, limits: {cpu: 500m, memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: guaranteed}
spec:
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, "1000"]
    resources: {limits: {cpu: "1", memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: modest}
spec:
  containers:
  - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "tail /dev/zero"]
    resources: {limits: {memory: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: busy}
spec:
  containers:
  - name: c
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "while :; do :; done"]
    resources: {limits: {cpu: 100m}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000"]}
END
}

check_limits() {
  local dir
  ctl wait --for=condition=Ready --timeout=900s pod/bounded pod/guaranteed pod/modest pod/busy >/dev/null
  ctl wait --for=condition=Available --timeout=900s deployment/web >/dev/null
  dir=$(group_of bounded)
  same "Burstable pod's place" "$(basename "$(dirname "$dir")")" burstable
  same "cpu.max of a limit of 500m" "$(cat "$dir/cpu.max")" "50000 100000"
  same "cpu.weight of a request of 250m" "$(cat "$dir/cpu.weight")" 35
  same "memory.max of a limit of 64Mi" "$(cat "$dir/memory.max")" 67108864
  same "the same of its container" "$(cat "$dir"/*/cpu.max "$dir"/*/memory.max | tr '\n' ' ')" "50000 100000 67108864 "
  dir=$(group_of guaranteed)
  same "Guaranteed pod's place" "$(basename "$(dirname "$dir")")" kubepods
  dir=$(group_of modest)
  same "BestEffort pod's place" "$(basename "$(dirname "$dir")")" besteffort
  same "its limits" "$(cat "$dir/cpu.max" "$dir/memory.max" | tr '\n' ' ')" "max 100000 max "
  same "the container sees a memory limit" "$(ctl exec bounded -- cat /sys/fs/cgroup/memory.max)" 67108864
  same "exec lands in the container's group" "$(ctl exec bounded -- sh -c 'cat /sys/fs/cgroup/cgroup.procs | wc -l')" 4
}

check_resize() {
  local dir uid
  uid=$(field pod bounded '{.status.containerStatuses[0].containerID}')
  ctl patch pod bounded --subresource=resize -p '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"500m","memory":"96Mi"},"limits":{"cpu":"1","memory":"128Mi"}}}]}}' >/dev/null
  dir=$(group_of bounded)
  until_is "resized in place" "100000 100000 134217728 100000 100000 134217728 " sh -c "cat $dir/cpu.max $dir/memory.max $dir/*/cpu.max $dir/*/memory.max | tr '\\n' ' '"
  same "the container" "$(field pod bounded '{.status.containerStatuses[0].containerID}')" "$uid"
}

check_usage() {
  local node
  node=$(field pod busy '{.spec.nodeName}')
  until_is "usage of a busy container" 1 sh -c "miniorchctl --kubeconfig /tmp/kubeconfig get --raw /api/v1/nodes/$node/proxy/metrics/resource | grep -c 'container_cpu_usage_seconds_total{.*pod=\"busy\"'"
}

check_throttling() {
  local dir before after
  dir=$(group_of busy)
  before=$(awk '/^usage_usec/ {print $2}' "$dir/cpu.stat")
  sleep 3
  after=$(awk '/^usage_usec/ {print $2}' "$dir/cpu.stat")
  [ $((after - before)) -lt 900000 ] && pass "a limit of 100m: $((after - before)) µs in 3 s" || fail "a limit of 100m: $((after - before)) µs in 3 s"
}

check_oom() {
  until_is "a pod that takes too much memory" "OOMKilled 137 Failed" \
    field pod greedy '{.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode} {.status.phase}'
}

check_removal() {
  ctl delete pod bounded guaranteed modest greedy busy --grace-period=1 >/dev/null
  until_is "pods" "" ctl get pods --field-selector=metadata.name!=x -l '!app' -o name
  same "control groups of pods" "$(find $root -type d -name 'pod*-*-*' | wc -l)" 4
  miniorchctl cluster kill node-1 --agent-only && miniorchctl cluster start node-1 && pass "an agent is killed and started"
  until_is "replicas" 4 field deployment web '{.status.availableReplicas}'
  miniorchctl cluster down
  same "what the cluster leaves" "$(find $root -mindepth 1 -type d | sort)" "$before"
  same "its processes" "$(pgrep -fl 'miniorch-|containerd' || true)" ""
}

same "file system of /sys/fs/cgroup" "$(stat -f -c %T $root)" cgroup2fs
before=$(find $root -mindepth 1 -type d | sort)
# An emulated processor may need more time than is waited for; what is missing is made again.
up() { miniorchctl cluster up --nodes 2 --image-dir /payload/bin/images --kubeconfig /tmp/kubeconfig; }
up || up || up
pods | ctl apply -f - >/dev/null
check_limits
check_resize
check_usage
check_throttling
check_oom
check_removal
package_tests
