#!/usr/bin/env bash
# Makes the figures of one node in docs/benchmarks.md again: builds, starts a fresh server for each scenario, runs it, and leaves a
# Markdown and a JSON report in the directory given (default: target/loadtest).
#
#   loadtest/scripts/figures.sh [OUTPUT_DIR] [SCENARIO...]
#
# SECONDS_EACH=10 shortens the measured stages, BUILD=no takes the binaries as they are. Takes about six minutes. Where
# other work runs on the machine, run it with `nice -n -10` (as root), or its figures tell of that work.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-target/loadtest}
shift || true
scenarios=("$@")
[ ${#scenarios[@]} -gt 0 ] || scenarios=(idle idle-rooms rooms rooms-msgpack crowd crowd-msgpack bystander)

address=127.0.0.1:18000
metrics=127.0.0.1:19190
bin=${CARGO_TARGET_DIR:-target}/release
data=$(mktemp -d)
server=
mkdir -p "$out"

stop_server() {
    if [ -n "$server" ]; then
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap 'stop_server; rm -rf "$data"' EXIT

# A fresh process and an empty data directory each time, so that memory is counted from nothing.
start_server() { # shards
    rm -rf "${data:?}"/*
    ulimit -n "$(ulimit -Hn)"
    PARLOR_SERVER_LISTEN=$address PARLOR_SERVER_SHARDS=$1 PARLOR_METRICS_LISTEN=$metrics \
        PARLOR_STORAGE_DATA_DIR=$data "$bin/parlor" dev >"$out/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        if (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null; then return; fi
        kill -0 "$server" || { cat "$out/server.log"; exit 1; }
        sleep 0.1
    done
    echo "the server did not start" >&2
    exit 1
}

measure() { # name, shards, options of parlor-loadtest
    local name=$1 shards=$2
    shift 2
    echo "== $name ($shards shards)" >&2
    start_server "$shards"
    local code=0
    "$bin/parlor-loadtest" run --url "ws://$address/v1/socket" --metrics-url "http://$metrics/metrics" --server-pid "$server" \
        --json "$out/$name.json" --markdown "$out/$name.md" ${SECONDS_EACH:+--duration "${SECONDS_EACH}s"} "$@" || code=$?
    stop_server
    cat "$out/$name.md"
    case $code in 0 | 98 | 99) ;; *) exit "$code" ;; esac
    [ "$code" = 0 ] || failed+=" $name($code)"
}

# Both give steadier figures where the generator and the server share their cores; neither is needed.
sysctl -q net.ipv4.tcp_congestion_control=cubic kernel.sched_autogroup_enabled=0 2>/dev/null ||
    echo "sysctl not permitted: figures may be less steady" >&2

[ "${BUILD:-yes}" = no ] || cargo build --release -p parlor -p parlor-loadtest
failed=
cores=$(nproc)
here=loadtest/scenarios
for scenario in "${scenarios[@]}"; do
    case $scenario in
    idle) measure idle "$cores" --scenario $here/idle.toml ;;
    idle-rooms) measure idle-rooms "$cores" --shape idle=1000x10 ;;
    rooms) measure rooms "$cores" --scenario $here/rooms.toml ;;
    rooms-msgpack) measure rooms-msgpack "$cores" --scenario $here/rooms.toml --form msgpack ;;
    crowd) measure crowd "$cores" --scenario $here/crowd.toml ;;
    crowd-msgpack) measure crowd-msgpack "$cores" --scenario $here/crowd.toml --form msgpack ;;
    bystander) measure bystander 1 --scenario $here/bystander.toml ;;
    *) echo "no such scenario: $scenario" >&2; exit 2 ;;
    esac
done
[ -z "$failed" ] || { echo "not passed:$failed" >&2; exit 1; }
