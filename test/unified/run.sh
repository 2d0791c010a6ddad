#!/usr/bin/env bash
# Runs check.sh on a machine with cgroup v2 only: a virtual one, with Debian's kernel and
# packages, made here. It needs root, and on the first run some minutes to install Debian. Where the
# processor cannot help with virtual machines, all takes ten times as long. BIN names the binaries
# and images to test.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
bin=${BIN:-$repo/bin}
cache=${CACHE:-/var/cache/miniorch-unified}
suite=bookworm

say() { echo "unified: $*" >&2; }

# install brings the packages that are missing on this machine.
install() {
  local missing=()
  command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
  command -v busybox >/dev/null || missing+=(busybox-static)
  command -v depmod >/dev/null || missing+=(kmod)
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# make_machine leaves the machine's disk, kernel and first file system in the cache.
make_machine() {
  [ -e "$cache/complete" ] && return
  say "installing Debian $suite into $cache"
  rm -rf "$cache" && mkdir -p "$cache"
  local root=$cache/root kernel
  # Only what miniorch's own list of packages asks of a machine, and a kernel without its boot loader.
  debootstrap --variant=minbase \
    --include=containerd,runc,iptables,nftables,iproute2,conntrack,busybox-static,kmod,procps \
    "$suite" "$root" >"$cache/debootstrap.log" 2>&1 || { tail -20 "$cache/debootstrap.log" >&2; return 1; }
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2; exit}')
  (cd "$cache" && apt-get -o APT::Sandbox::User=root download -qq "$kernel" && dpkg-deb -x linux-image-*.deb kernel)
  cp -a "$cache"/kernel/lib/modules "$root/lib/"
  cp "$cache"/kernel/boot/vmlinuz-* "$cache/vmlinuz"
  make_initrd "$root" "${kernel#linux-image-}"
  rm -f "$root"/var/cache/apt/archives/*.deb
  mkdir -p "$root/payload"
  mkfs.ext4 -q -d "$root" "$cache/root.ext4" 4G
  rm -rf "$root" "$cache/kernel" "$cache"/*.deb
  touch "$cache/complete"
}

# make_initrd makes what the kernel starts with: just enough to find the disk.
make_initrd() {
  local root=$1 version=$2 dir=$cache/initrd.d module
  depmod -b "$root" "$version"
  mkdir -p "$dir"/{bin,dev,proc,root}
  cp "$(command -v busybox)" "$dir/bin/busybox"
  for module in virtio_pci virtio_blk; do
    modprobe -S "$version" -d "$root" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
  done | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$dir/" && echo "${file##*/}" >>"$dir/modules"
  done
  cat >"$dir/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for m in $(/bin/busybox cat /modules); do /bin/busybox insmod /$m; done
until [ -b /dev/vdb ]; do /bin/busybox sleep 0.05; done
/bin/busybox mount -t ext4 /dev/vda /root
/bin/busybox mount -t ext4 -o ro /dev/vdb /root/payload
exec /bin/busybox switch_root /root /payload/init.sh
END
  chmod +x "$dir/init"
  (cd "$dir" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$cache/initrd"
  rm -rf "$dir"
}

# make_payload makes the disk with what is tested.
make_payload() {
  local dir=$1/payload package
  mkdir -p "$dir/bin" "$dir/tests"
  cp "$here/init.sh" "$here/check.sh" "$dir/"
  cp "$bin"/miniorch-master "$bin"/miniorch-node "$bin"/miniorchctl "$dir/bin/"
  mkdir "$dir/bin/images" && cp "$bin/images/busybox.tar" "$dir/bin/images/" # the smaller, the sooner it is imported
  for package in cgroups runtime network volumes logs .; do
    (cd "$repo" && go test -c -ldflags='-s -w' -o "$dir/tests/kubelet-${package/./all}" "./kubelet/$package")
  done
  mkfs.ext4 -q -d "$dir" "$1/payload.ext4" 1G
}

main() {
  [ "$(id -u)" -eq 0 ] || { say "needs root"; exit 1; }
  install
  make_machine
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  make_payload "$work"
  local accelerator=tcg,thread=multi
  if [ -w /dev/kvm ] && grep -qwE 'svm|vmx' /proc/cpuinfo; then accelerator=kvm; fi
  say "starting the machine ($accelerator)"
  # -snapshot: the disks stay as they are.
  timeout "${LIMIT:-3600}" qemu-system-x86_64 -accel "$accelerator" -cpu max -smp 2 -m 3072 -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$cache/vmlinuz" -initrd "$cache/initrd" -append "console=ttyS0 quiet panic=-1 ${KERNEL_ARGS:-}" \
    -drive "file=$cache/root.ext4,if=virtio,format=raw" -drive "file=$work/payload.ext4,if=virtio,format=raw" -snapshot \
    -nic none -serial stdio </dev/null | tee "$work/output"
  grep -q '^unified: everything passed' "$work/output" || { say "failed"; exit 1; }
}

main "$@"
