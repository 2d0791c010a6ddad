#!/bin/sh
# The first process of the virtual machine: mounts what a machine has, with cgroup v2 and nothing
# of version 1, runs the checks, and switches off.
export PATH=/payload/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
ip link set lo up
hostname unified
bash /payload/check.sh 2>&1 && echo "unified: everything passed"
sync
echo o >/proc/sysrq-trigger
sleep 60
