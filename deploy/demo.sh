#!/usr/bin/env bash
# Runs the demo on a cluster and says what it did: demo.sh MINIORCHCTL [CLUSTER-NAME]
set -euo pipefail
ctl=$1 name=${2:-miniorch}
context=$name
[ "$name" = miniorch ] || context=miniorch-$name
here=$(dirname "$0")
kc() { "$ctl" --context "$context" "$@"; }

echo
echo "\$ miniorchctl apply -f deploy/examples/demo.yaml"
kc apply -f "$here/examples/demo.yaml"
kc rollout status deployment/demo --timeout=2m
echo
echo "\$ miniorchctl get pods -o wide"
kc get pods -o wide
ip=$(kc get service demo -o 'jsonpath={.spec.clusterIP}')
echo
echo "Six requests through the Service, from a pod:"
pod=$(kc get pods -l app=demo -o 'jsonpath={.items[0].metadata.name}')
kc exec "$pod" -- /bin/demo get http://demo/ --count 6
echo
echo "and one from this machine, to the Service's address $ip:"
kc get --raw /version >/dev/null
exec 3<>"/dev/tcp/$ip/80"
printf 'GET / HTTP/1.0\r\n\r\n' >&3
tail -n 1 <&3
exec 3>&-
cat <<EOF

Your cluster runs. Go on with:

  $ctl get pods -o wide
  $ctl scale deployment demo --replicas=5
  $ctl set image deployment/demo web=miniorch/demo:v2 && $ctl rollout status deployment/demo
  $ctl logs -f deployment/demo
  $ctl cluster kill node-2            # and watch: $ctl get nodes,pods -o wide
  kubectl --context $context get all   # any kubectl will do
  make down                           # removes all of it
EOF
