#!/usr/bin/env bash
# Writes, to standard output, the kubeconfig with which a machine joins a cluster as a node:
#   node-kubeconfig.sh NODE-NAME NODE-IP MASTER-DATA-DIR [SERVER-URL]
# Run it where the master's data directory is: it signs the node's certificate with the
# cluster's authority. The certificate is good for a year, for calling and for serving.
set -euo pipefail
if [ $# -lt 3 ]; then sed -n '2,5s/^# //p' "$0" >&2; exit 2; fi
name=$1 ip=$2 pki=$3/pki
server=${4:-$(sed -n 's/^ *server: //p' "$3/admin.kubeconfig")}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$work/key"
openssl req -new -key "$work/key" -subj "/O=system:nodes/CN=system:node:$name" -out "$work/csr"
openssl x509 -req -in "$work/csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 15)" -days 365 -sha256 \
  -extfile <(printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\nsubjectAltName=DNS:%s,IP:%s\n' "$name" "$ip") \
  -out "$work/crt" 2>/dev/null

cat <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: $name
clusters:
- name: miniorch
  cluster:
    server: $server
    certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")
users:
- name: $name
  user:
    client-certificate-data: $(base64 -w0 <"$work/crt")
    client-key-data: $(base64 -w0 <"$work/key")
contexts:
- name: $name
  context:
    cluster: miniorch
    user: $name
KUBECONFIG
