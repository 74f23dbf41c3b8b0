#!/usr/bin/env bash
# Plays a row of faults with many seeds and appends one line per run to a log.
#   tests/chaos/run.sh ROW [SEEDS] [FIRST]     for example: tests/chaos/run.sh row_04 20
# The log is $PARLOR_CHAOS_LOG, or chaos.log in the target directory. A failed seed does not end the others.
set -uo pipefail
cd "$(dirname "$0")/../.."
row=${1:?usage: tests/chaos/run.sh ROW [SEEDS] [FIRST]}
seeds=${2:-20}
first=${3:-1}
export PARLOR_CHAOS_LOG=${PARLOR_CHAOS_LOG:-${CARGO_TARGET_DIR:-target}/chaos.log}

cargo test --quiet -p parlor-tests --test chaos --no-run || exit 1
failed=0
for ((seed = first; seed < first + seeds; seed++)); do
    if ! PARLOR_SEED=$seed cargo test --quiet -p parlor-tests --test chaos -- --include-ignored --test-threads 1 "$row" \
        >"${PARLOR_CHAOS_LOG%.log}.last" 2>&1; then
        failed=$((failed + 1))
        cp "${PARLOR_CHAOS_LOG%.log}.last" "${PARLOR_CHAOS_LOG%.log}-$row-$seed.txt"
    fi
    tail -n 1 "$PARLOR_CHAOS_LOG"
done
echo "$row: $seeds seeds, $failed failed; $PARLOR_CHAOS_LOG"
[ "$failed" = 0 ]
