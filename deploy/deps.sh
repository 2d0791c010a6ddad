#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that miniorch runs on, if any is missing.
set -euo pipefail

declare -A packages=(
  [containerd]=containerd [runc]=runc [iptables]=iptables [nft]=nftables [ip]=iproute2
  [conntrack]=conntrack [busybox]=busybox-static [docker-registry]=docker-registry [htpasswd]=apache2-utils
)
missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || missing+=("${packages[$program]}")
done
# busybox may be there as the dynamic build, which cannot be an image on its own.
if command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then missing+=(busybox-static); fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "missing packages: ${missing[*]}; run as root, or: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Services that come with the packages stay off: miniorch starts its own containerd.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
log=$(mktemp)
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -20 "$log" >&2
  exit 1
fi
rm -f "$log"
