#!/usr/bin/env bash
# Tests everything, after installing what that takes and this machine lacks: ./test.sh [ARGUMENTS OF cargo test]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Crates with C or assembly in them, and linking, need a C compiler; clips need ffmpeg, and downloads curl.
missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing+=(ffmpeg)
command -v curl >/dev/null || missing+=(curl)
[ "${#missing[@]}" -eq 0 ] || .ci/install "${missing[@]}"

exec cargo test --release --workspace "$@"
