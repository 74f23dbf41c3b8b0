#!/usr/bin/env bash
# Runs every command of docs/capacity.md against fresh servers on this machine, and leaves what they write.
#
#   loadtest/scripts/capacity.sh [OUTPUT_DIR [PART…]]
#
# The parts, each of some two minutes: one, limit, several, day, workers, plan. `plan` reads what `one` and `several` have
# left. SMALL=yes makes all of it a matter of two minutes, to see that all commands work; PROFILE=debug takes such binaries.
# `several` needs redis-server.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-target/capacity}
shift || true
mkdir -p "$out"
bin=${CARGO_TARGET_DIR:-target}/${PROFILE:-release}
port=18100
metrics_port=19290
redis=127.0.0.1:18190
data=$(mktemp -d)
servers=()
started=()
redis_server=

stop_servers() {
    for pid in "${servers[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
    servers=()
}

stop_redis() {
    if [ -n "$redis_server" ]; then
        kill -KILL "$redis_server" 2>/dev/null || true
        wait "$redis_server" 2>/dev/null || true
        redis_server=
    fi
}

stop() {
    stop_servers
    stop_redis
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT

wait_for() { # host:port
    for _ in $(seq 200); do
        if (exec 3<>"/dev/tcp/${1/:/\/}") 2>/dev/null; then return; fi
        sleep 0.1
    done
    echo "nobody listens on $1" >&2
    exit 1
}

wait_for_word() { # word, file
    for _ in $(seq 200); do
        if grep -q "$1" "$2"; then return; fi
        sleep 0.1
    done
    echo "$2 does not say \"$1\":" >&2
    cat "$2" >&2
    exit 1
}

# Sets urls, metrics and pids to those of fresh nodes, with commas between.
start_servers() { # how many; with a Redis where a second argument names it
    stop_servers
    ulimit -n "$(ulimit -Hn)"
    urls='' metrics='' pids=''
    for ((node = 0; node < $1; node++)); do
        local address=127.0.0.1:$((port + node)) page=127.0.0.1:$((metrics_port + node))
        rm -rf "${data:?}/$node"
        mkdir "$data/$node"
        PARLOR_SERVER_LISTEN=$address PARLOR_METRICS_LISTEN=$page PARLOR_STORAGE_DATA_DIR=$data/$node \
            PARLOR_REDIS_URL=${2:-} "$bin/parlor" dev >"$out/server-$node.log" 2>&1 &
        servers+=($!)
        urls+=${urls:+,}ws://$address/v1/socket metrics+=${metrics:+,}http://$page/metrics pids+=${pids:+,}$!
        wait_for "$address"
    done
}

# A fresh one for each run: what an earlier one has left there, and is forgotten meanwhile, would count as less growth.
start_redis() {
    stop_redis
    redis-server --port "${redis#*:}" --bind "${redis%:*}" --save '' --appendonly no >"$out/redis.log" 2>&1 &
    redis_server=$!
    wait_for "$redis"
}

# 97, 98 and 99 are answers too: what the figures are worth is for the reader of the reports.
tool() {
    local code=0
    "$bin/parlor-loadtest" "$@" || code=$?
    case $code in 0 | 97 | 98 | 99) echo "exit code $code: parlor-loadtest $1" >&2 ;; *) exit "$code" ;; esac
}

run() { # name, options
    local name=$1 tries=1
    shift
    # What a busy machine has spoiled is made again where only the commands are tried: nothing can be planned from it.
    if [ "${SMALL:-no}" = yes ]; then tries=3; fi
    for ((; tries > 0; tries--)); do
        run_once "$name" "$@"
        if ! grep -q '"outcome": "invalid"' "$out/$name.json"; then return; fi
    done
}

run_once() { # name, options
    local name=$1
    shift
    tool run --url "$urls" --metrics-url "$metrics" --server-pid "$pids" \
        --json "$out/$name.json" --html "$out/$name.html" --junit "$out/$name.xml" --markdown "$out/$name.md" "$@"
}

measure() { # name, options
    start_servers 1
    run "$@" --duration "$seconds" --warmup "$warmup"
}

measure_several() { # nodes, name, options
    local nodes=$1
    shift
    stop_servers
    start_redis
    start_servers "$nodes" "redis://$redis"
    run "$@" --redis "$redis" --duration "$seconds" --warmup "$warmup"
}

if [ "${SMALL:-no}" = yes ]; then
    seconds=2s warmup=1s idle=20x10 rooms=10x10 many=20x10 crowd=1x100 limit=(--duration 2s --from 20 --to 80 --tries 1)
    rates=(20 40 60 30 10)
else
    seconds=15s warmup=3s idle=500x10 rooms=200x10 many=400x10 crowd=1x2000 limit=(--duration 5s --from 400 --to 20000)
    rates=(100 300 400 200 10)
fi

one() {
    measure idle --shape "idle=$idle"
    measure rooms --shape "rooms=$rooms" --rate "${rates[0]}"
    measure busy --shape "rooms=$rooms" --rate "${rates[1]}"
    measure crowd --shape "channel=$crowd" --rate "${rates[4]}"
    measure aside --shape "rooms=$many" --rate "${rates[3]}"
}

limit() {
    start_servers 1
    tool find-limit --url "$urls" --metrics-url "$metrics" --server-pid "$pids" \
        --shape "rooms=$rooms" --warmup "$warmup" --max-p99-ms 100 "${limit[@]}" \
        --limit-json "$out/limit.json" --html "$out/limit.html" >"$out/limit.md"
    cat "$out/limit.md"
}

several() {
    measure_several 2 several-idle --shape "idle=$idle"
    measure_several 1 several-one --shape "rooms=$rooms" --rate "${rates[1]}"
    measure_several 2 several-two --shape "rooms=$rooms" --rate "${rates[0]}"
    measure_several 3 several-three --shape "rooms=$rooms" --rate "${rates[1]}"
    measure_several 2 several-crowd --shape "channel=$crowd" --rate "${rates[4]}"
    measure_several 3 several-aside --shape "rooms=$many" --rate "${rates[3]}"
}

day() {
    start_servers 1
    run day --scenario loadtest/scenarios/day.toml
}

workers() {
    start_servers 1
    for worker in 17071 17072; do
        # What an earlier run has left says so already.
        : >"$out/worker-$worker.log"
        "$bin/parlor-loadtest" worker --listen 127.0.0.1:$worker --once 2>"$out/worker-$worker.log" &
        started+=($!)
    done
    # Not by connecting: a worker serves one coordinator.
    for worker in 17071 17072; do wait_for_word Waiting "$out/worker-$worker.log"; done
    tool coordinate --workers 127.0.0.1:17071,127.0.0.1:17072 --url "$urls" --metrics-url "$metrics" --server-pid "$pids" \
        --shape "rooms=$rooms" --rate "${rates[0]}" --duration "$seconds" --warmup "$warmup" \
        --json "$out/workers.json" --markdown "$out/workers.md"
    grep -q '"workers": 2' "$out/workers.json"
}

plan() {
    tool plan --load loadtest/scenarios/future.toml --check "$out/several-aside.json" --json "$out/plan.json" \
        "$out"/several-{idle,one,two,three,crowd}.json >"$out/plan.md"
    cat "$out/plan.md"
    tool plan --load loadtest/scenarios/one-node.toml --check "$out/aside.json" \
        "$out"/{idle,rooms,busy,crowd}.json >"$out/plan-one.md"
    cat "$out/plan-one.md"
    tool compare "$out/rooms.json" "$out/busy.json" >"$out/compare.md"
    cat "$out/compare.md"
}

if [ $# -eq 0 ]; then set -- one limit several day workers plan; fi
for part in "$@"; do
    case $part in
        one | limit | several | day | workers | plan) "$part" ;;
        *) echo "there is no part $part" >&2 && exit 2 ;;
    esac
done
