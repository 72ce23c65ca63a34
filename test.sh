#!/usr/bin/env bash
# Tests everything, after installing what that takes and this machine lacks: ./test.sh [ARGUMENTS OF cargo test]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Crates with C or assembly in them, and linking, need a C compiler; clips need ffmpeg.
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing+=(ffmpeg)
if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "test.sh: install ${missing[*]} first; this system has no apt-get to do it by" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "test.sh: as root, type first: apt-get install ${missing[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update
    "${as_root[@]}" apt-get install --yes --no-install-recommends "${missing[@]}"
fi

exec cargo test --release --workspace "$@"
