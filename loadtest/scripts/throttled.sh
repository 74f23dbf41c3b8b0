#!/usr/bin/env bash
# Shows that find-limit names the network where the network is what is scarce: a server and the load tester in two network
# namespaces of their own, with a link of 50 Mbit/s between them.
#
#   sudo loadtest/scripts/throttled.sh
#
# Takes half a minute, and at most two. Needs release builds of both, iproute2, and the right to make namespaces. Prints the
# verdict; ends with 0 when it names the network, with 98 when the generator gave out first, and with 1 otherwise.
# PROFILE=debug takes such binaries.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${CARGO_TARGET_DIR:-target}/${PROFILE:-release}
mbit_s=50
# For documentation only, so nobody's; and seen by nobody but these two.
server_ip=192.0.2.1
clients_ip=192.0.2.2
address=$server_ip:8000
server_side=parlor-server-$$
clients_side=parlor-clients-$$
namespaces=()
server=
data=$(mktemp -d)

stop() {
    if [ -n "$server" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    # The link goes with them.
    for namespace in "${namespaces[@]}"; do ip netns delete "$namespace"; done
    rm -rf "$data"
}
trap stop EXIT

# Does what a container or an ordinary user may not do, or says what is missing.
privileged() { # command
    local said
    said=$("$@" 2>&1) && return
    echo "unable to make a throttled network; it takes root (in a container: CAP_SYS_ADMIN and CAP_NET_ADMIN), iproute2," >&2
    echo "and a kernel with veth and tbf. \`$*\` said: $said" >&2
    exit 1
}

make_namespace() { # name
    privileged ip netns add "$1"
    namespaces+=("$1")
}

# What one side sends waits in a bucket, as it would at a slow line: for up to 50 ms, then it is dropped.
throttle() { # namespace, address
    privileged ip -n "$1" address add "$2/24" dev line
    privileged ip -n "$1" link set line up
    privileged ip netns exec "$1" tc qdisc add dev line root tbf rate ${mbit_s}mbit burst 64kb latency 50ms
}

make_network() {
    make_namespace "$server_side"
    make_namespace "$clients_side"
    privileged ip link add name line netns "$server_side" type veth peer name line netns "$clients_side"
    throttle "$server_side" $server_ip
    throttle "$clients_side" $clients_ip
}

# Not in development mode, which listens on loopback only.
start_server() {
    cat >"$data/parlor.toml" <<'TOML'
[kinds.load]
pattern = "load:*"
durability = "memory"
presence = false
allow = ["subscribe", "publish"]
TOML
    # No metrics: loopback is down in there.
    PARLOR_AUTH_SECRET=$secret PARLOR_METRICS_LISTEN='' ip netns exec "$server_side" \
        "$bin/parlor" serve --config "$data/parlor.toml" --data "$data" --listen $address >"$data/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if ip netns exec "$clients_side" bash -c "exec 3<>/dev/tcp/${address/:/\/}" 2>/dev/null; then return; fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$data/server.log" >&2
    echo "the server did not start" >&2
    exit 1
}

# Few deliveries with large payloads, so that the link is full long before a core is: it carries some 48 publishes a second to
# a hundred members. Where exactly the limit lies is not asked here, so the search ends early.
find_limit() {
    PARLOR_TOKEN_SECRET=$secret timeout --foreground 90 ip netns exec "$clients_side" \
        "$bin/parlor-loadtest" find-limit --url "ws://$address/v1/socket" --allow-remote --server-pid "$server" \
        --network-mbit-s $mbit_s --shape channel=1x100 --payload-bytes 1024 --warmup 1s --duration 3s \
        --from 30 --to 60 --precision 50 >"$data/limit.md"
}

for binary in parlor parlor-loadtest; do
    [ -x "$bin/$binary" ] || { echo "$bin/$binary is not there; cargo build --release -p parlor -p parlor-loadtest" >&2; exit 1; }
done
secret=$(head -c 32 /dev/urandom | base64)
make_network
start_server
code=0
find_limit || code=$?
cat "$data/limit.md"
case $code in
    0) ;;
    98) echo "the generator gave out first: give it a quieter machine" >&2 && exit 98 ;;
    124) echo "the search took too long" >&2 && exit 1 ;;
    *) echo "no limit was found (exit code $code)" >&2 && exit 1 ;;
esac
if ! grep "^- the network was full: line carried [0-9]* of $mbit_s Mbit/s$" "$data/limit.md" >/dev/null; then
    echo "the network was at its end, and find-limit did not say so" >&2
    exit 1
fi
echo "find-limit named the network." >&2
