#!/usr/bin/env bash
# One run on several ranks with graphics cards, by hand: a card a rank, or all ranks on one, as on Mesa's llvmpipe where there is
# no card. Holds that as many ranks give the same bits, that a search decides and ends with them, that one which was stopped
# gives the same bits, that it goes on with another number of them and without cards, and that a training does.
#
#   cluster/test/cards.sh [wgpu|cuda|gpu]
#
# It builds the program with both, which takes some minutes more than without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
device="${1:-wgpu}"
card="$device"
[ "$card" != gpu ] || card=wgpu,cuda

cargo build --release --features "mpi,$card"
sdas="$PWD/target/release/sdas"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
# Mesa says an error where there is none.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$scratch}"
cd "$scratch"
"$sdas" devices

small=(--set data.shapes.train=60 --set data.shapes.test=20 --set data.size=16 --set search.batch=10 --set search.channels=4
    --set search.cells=3 --set search.alpha_warmup=0 --set search.epochs=4)
searches() { # RANKS FOLDER OPTION…
    mpirun -n "$1" "$sdas" search shapes "${small[@]}" --device "$device" --out "$2" "${@:3}" 2>"$2.log" >"$2.out" ||
        { cat "$2.log" >&2 && exit 1; }
}
# All that a run comes to but times and memory.
numbers() {
    cat "$1/decisions.jsonl" "$1/genotype.json"
    sed -E 's/"(seconds|seconds_per_step|memory|peak_memory)":[^,}]*//g' "$1/metrics.jsonl"
}

echo "two ranks search, and give the same bits again"
searches 2 two
searches 2 again
numbers two >a && numbers again >b && cmp a b
grep 'computing on' two.log
[ "$(wc -l <two/decisions.jsonl)" -eq 16 ]
grep 'took' two.out

echo "one rank that is stopped goes on bit for bit"
searches 1 whole
mpirun -n 1 "$sdas" search shapes "${small[@]}" --device "$device" --out halted >halted.log 2>&1 &
launcher=$!
until [ -s halted/metrics.jsonl ]; do kill -0 "$launcher" && sleep 0.1; done
kill -TERM "$(pgrep -f 'search shapes.*--out halted' -P "$launcher")"
wait "$launcher" || true
[ ! -e halted/result.json ]
searches 1 halted
numbers whole >a && numbers halted >b && cmp a b

echo "one rank goes on with what two have begun, and so does the processor"
mpirun -n 2 "$sdas" search shapes "${small[@]}" --device "$device" --out stopped >stopped.log 2>&1 &
launcher=$!
until [ -s stopped/metrics.jsonl ]; do kill -0 "$launcher" && sleep 0.1; done
kill -KILL "$(pgrep -f 'search shapes.*--out stopped' -P "$launcher" | tail -n 1)"
if wait "$launcher"; then echo "nobody has noticed" >&2 && exit 1; fi
# The launcher may be gone before those that it ends.
while pgrep -f 'search shapes.*--out stopped' >/dev/null; do sleep 0.1; done
[ ! -e stopped/result.json ]
cp -r stopped on-processor
searches 1 stopped
"$sdas" search --resume on-processor --device cpu >/dev/null 2>&1
[ "$(wc -l <stopped/metrics.jsonl)" -eq 4 ] && [ "$(wc -l <on-processor/metrics.jsonl)" -eq 4 ]

echo "a training"
mpirun -n 2 "$sdas" train two --device "$device" --set train.epochs=2 --set train.channels=4 --set train.cells=3 \
    --set train.batch=10 --out trained >/dev/null 2>&1
[ "$(wc -l <trained/metrics.jsonl)" -eq 2 ]
echo "all of it"
