#!/usr/bin/env python3
"""Times our step beside PyTorch's, in one run, and prints the ratios.

    bench/against_pytorch.py PEER [--python PYTHON] [--steps N] [--only PART]

PEER is the folder with bench_step.py, the same networks in PyTorch; PYTHON an interpreter that has PyTorch. Build first:
cargo build --release. Every row is timed three ways, one after the other: ours, PyTorch as it is fastest
(--channels-last --skip-unused-grads), and as DARTS' own code runs it.
"""
import argparse
import json
import pathlib
import subprocess
import sys

ROWS = {
    "image search, C 16, 8 cells, batch 16": ("search", ["--channels", "16", "--layers", "8", "--batch", "16"], []),
    "image search, C 16, 8 cells, batch 64": ("search", ["--channels", "16", "--layers", "8", "--batch", "64"], []),
    "video search, C 8, 5 cells, batch 4, 8x64x64": (
        "search",
        ["--channels", "8", "--layers", "5", "--batch", "4", "--size", "64", "--frames", "8"],
        ["--video"],
    ),
    "training, DARTS V2, C 16, 8 cells, batch 32": ("train", ["--channels", "16", "--layers", "8", "--batch", "32"], []),
}
FASTEST = ["--channels-last", "--skip-unused-grads"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=pathlib.Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--steps", default="5")
    parser.add_argument("--only", default="", help="run the rows whose name contains this")
    arguments = parser.parse_args()
    sdas = pathlib.Path(__file__).parent.parent / "target" / "release" / "sdas"
    for name, (phase, shape, video) in ROWS.items():
        if arguments.only not in name:
            continue
        ours = run([sdas, "bench", "step", "--phase", phase, *shape, "--steps", arguments.steps, "--json"])
        seconds, memory = ours["median_seconds"], ours["peak_memory"] / 2**20
        share = ours["operations_per_second"] / ours["peak_operations_per_second"]
        print(f"{name}\n  ours            {seconds:8.3f} s  {memory:7.0f} MiB  {share:.1%} of peak", flush=True)
        for label, options in [("PyTorch, fastest", FASTEST), ("PyTorch, default", [])]:
            script = arguments.peer / "bench_step.py"
            peer = run([arguments.python, script, phase, *shape, *video, *options, "--steps", arguments.steps])
            times, parts = peer["median_s"] / seconds, memory / peer["peak_mb"]
            print(f"  {label}{peer['median_s']:8.3f} s  {peer['peak_mb']:7} MiB  we are {times:.2f} x as fast in {parts:.0%} of its memory", flush=True)


if __name__ == "__main__":
    main()
