#!/usr/bin/env bash
# Runs every command of docs/capacity.md against a fresh server on this machine, and leaves what they write.
#
#   loadtest/scripts/capacity.sh [OUTPUT_DIR]
#
# SMALL=yes makes it a matter of a minute, to see that all commands work; PROFILE=debug takes such binaries.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-target/capacity}
mkdir -p "$out"
bin=${CARGO_TARGET_DIR:-target}/${PROFILE:-release}
address=127.0.0.1:18100
metrics=127.0.0.1:19290
data=$(mktemp -d)
server=
workers=()

stop() {
    for pid in $server "${workers[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT

start_server() {
    if [ -n "$server" ]; then kill -KILL "$server"; wait "$server" 2>/dev/null || true; fi
    rm -rf "${data:?}"/*
    ulimit -n "$(ulimit -Hn)"
    PARLOR_SERVER_LISTEN=$address PARLOR_METRICS_LISTEN=$metrics PARLOR_STORAGE_DATA_DIR=$data \
        "$bin/parlor" dev >"$out/server.log" 2>&1 &
    server=$!
    for _ in $(seq 200); do
        if (exec 3<>"/dev/tcp/${address/:/\/}") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "the server did not start" >&2
    exit 1
}

# 97, 98 and 99 are answers too: what the figures are worth is for the reader of the reports.
tool() {
    local code=0
    "$bin/parlor-loadtest" "$@" || code=$?
    case $code in 0 | 97 | 98 | 99) echo "exit code $code: parlor-loadtest $1" >&2 ;; *) exit "$code" ;; esac
}

measure() { # name, options
    local name=$1
    shift
    start_server
    tool run --url "ws://$address/v1/socket" --metrics-url "http://$metrics/metrics" --server-pid "$server" \
        --json "$out/$name.json" --html "$out/$name.html" --junit "$out/$name.xml" --markdown "$out/$name.md" "$@"
}

if [ "${SMALL:-no}" = yes ]; then
    seconds=2s warmup=1s idle=20x10 rooms=10x10 many=20x10 crowd=1x100 limit=(--from 20 --to 80 --tries 1)
else
    seconds=20s warmup=3s idle=500x10 rooms=200x10 many=500x10 crowd=1x2000 limit=(--from 200 --to 20000)
fi
measure idle --shape "idle=$idle" --duration "$seconds"
measure rooms --shape "rooms=$rooms" --rate 100 --duration "$seconds" --warmup "$warmup"
measure busy --shape "rooms=$rooms" --rate 300 --duration "$seconds" --warmup "$warmup"
measure crowd --shape "channel=$crowd" --rate 10 --duration "$seconds" --warmup "$warmup"
measure aside --shape "rooms=$many" --rate 200 --duration "$seconds" --warmup "$warmup"

start_server
tool find-limit --url "ws://$address/v1/socket" --metrics-url "http://$metrics/metrics" --server-pid "$server" \
    --shape "rooms=$rooms" --duration "$seconds" --warmup "$warmup" --max-p99-ms 100 "${limit[@]}" \
    --limit-json "$out/limit.json" --html "$out/limit.html" >"$out/limit.md"
cat "$out/limit.md"

tool plan --load loadtest/scenarios/future.toml --check "$out/aside.json" --json "$out/plan.json" \
    "$out"/{idle,rooms,busy,crowd}.json >"$out/plan.md"
cat "$out/plan.md"
tool compare "$out/rooms.json" "$out/busy.json" >"$out/compare.md" || true
cat "$out/compare.md"

start_server
for port in 17071 17072; do
    "$bin/parlor-loadtest" worker --listen 127.0.0.1:$port --once 2>>"$out/workers.log" &
    workers+=($!)
done
sleep 0.5
tool coordinate --workers 127.0.0.1:17071,127.0.0.1:17072 --url "ws://$address/v1/socket" --server-pid "$server" \
    --shape "rooms=$rooms" --rate 100 --duration "$seconds" --warmup "$warmup" --json "$out/workers.json" --markdown "$out/workers.md"
grep -q '"workers": 2' "$out/workers.json"
