#!/usr/bin/env bash
# Holds the project against golden numbers of seeds that nobody chose, each as PyTorch computes them in single and in double
# precision. Says which seeds fail, and leaves their files.
#
#     golden/seeds.sh PEER [COUNT [FIRST]]
#
# PEER is the folder of `make_golden.py` and `cells.py`; PYTHON names a Python with torch, numpy and safetensors (python3).
# COUNT seeds (20), the first of them FIRST, or drawn by chance. On two idle cores a seed takes about three minutes.
set -euo pipefail
peer=$(realpath "${1:?the folder of make_golden.py}") count=${2:-20} first=${3:-}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
scratch=$(mktemp -d)
failed=()
cargo test --release --workspace --test golden_networks --test golden_operations --no-run
for ((at = 0; at < count; at++)); do
    if [ -n "$first" ]; then seed=$((first + at)); else seed=$(od -An -N3 -tu4 /dev/urandom | tr -d ' '); fi
    "$python" "$peer/make_golden.py" "$scratch/$seed-single" "$seed" >/dev/null
    "$python" golden/make.py "$peer" "$scratch/$seed-double" "$seed" >/dev/null
    for precision in single double; do
        files=$scratch/$seed-$precision
        if SDAS_GOLDEN=$files cargo test --release --workspace -q --test golden_networks --test golden_operations \
            -- --nocapture >"$files/log" 2>&1; then
            echo "seed $seed, $precision precision: holds"
            rm -r "$files"
        else
            echo "seed $seed, $precision precision: FAILS, see $files/log"
            failed+=("$seed-$precision")
        fi
    done
done
echo "${#failed[@]} of $((2 * count)) failed"
[ ${#failed[@]} -eq 0 ]
