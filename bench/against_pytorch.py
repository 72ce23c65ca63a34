#!/usr/bin/env python3
"""Times our step beside PyTorch's, in one run on one machine, and prints a table with the ratios.

    bench/against_pytorch.py PEER [--device cuda] [--python PYTHON] [--sdas PATH] [--steps N] [--only PART]

PEER is the folder with cells.py, the same networks in PyTorch; PYTHON an interpreter that has PyTorch. Build first:
cargo build --release, for a card with --features cuda. Every step is timed one way after the other: ours; PyTorch as DARTS'
own code runs it; with channels last and without the gradients that a half-step does not need; and so, compiled by
torch.compile, where that is done within --compile-limit seconds. With --ours cuda,wgpu, ours is timed in both ways.

Memory is the most that a process had on the processor; on a card what ours has taken of its memory at the end, and the most
that PyTorch's tensors took.
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys

IMAGE = ["--channels", "16", "--layers", "8"]
ROWS = {
    "cpu": {
        "image search, C 16, 8 cells, batch 16": ("search", [*IMAGE, "--batch", "16"]),
        "image search, C 16, 8 cells, batch 64": ("search", [*IMAGE, "--batch", "64"]),
        "video search, C 8, 5 cells, batch 4, 8x64x64": (
            "search",
            ["--channels", "8", "--layers", "5", "--batch", "4", "--size", "64", "--frames", "8"],
        ),
        "training, DARTS V2, C 16, 8 cells, batch 32": ("train", [*IMAGE, "--batch", "32"]),
    },
    "cuda": {
        "image search, C 16, 8 cells, batch 64": ("search", [*IMAGE, "--batch", "64"]),
        "video search, C 8, 5 cells, batch 16, 16x112x112": (
            "search",
            ["--channels", "8", "--layers", "5", "--batch", "16", "--size", "112", "--frames", "16"],
        ),
        "training, DARTS V2, C 36, 20 cells, batch 96": ("train", ["--channels", "36", "--layers", "20", "--batch", "96"]),
    },
}
FASTER = ["--channels-last", "--skip-unused-grads"]
COMPILED = "PyTorch, compiled"
PEERS = {"PyTorch, eager": [], "PyTorch, channels last": FASTER, COMPILED: [*FASTER, "--compile"]}


class Failed(Exception):
    """What a program says that measured nothing."""


def run(command, limit):
    # With a group of its own, so that what it has started ends with it: torch.compile's own processes.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, errors = process.communicate(timeout=limit)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise Failed(f"not done within {limit:.0f} s")
        raise
    if process.returncode:
        raise Failed(f"failed: {(errors.strip().splitlines() or ['no word'])[-1]}")
    return json.loads(output)


def say(*columns):
    print(f"| {' | '.join(columns)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=pathlib.Path)
    parser.add_argument("--device", choices=ROWS, default="cpu")
    parser.add_argument("--ours", help="devices of ours, separated by commas [default: that of PyTorch]")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--sdas", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "target/release/sdas")
    parser.add_argument("--steps", default="5")
    parser.add_argument("--compile-limit", type=float, default=120, help="0 leaves torch.compile out")
    parser.add_argument("--only", default="", help="run the rows whose name contains this")
    arguments = parser.parse_args()
    # Ends what is being timed, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    step = pathlib.Path(__file__).parent / "pytorch_step.py"
    failed = False
    say("step", "by", "s a step", "times ours", "MiB", "of ours", "")
    say(*["---"] * 2, *["--:"] * 4, "---")
    for name, (phase, shape) in ROWS[arguments.device].items():
        if arguments.only not in name:
            continue
        shape = [*shape, "--steps", arguments.steps]
        programs = {
            f"ours, {device}": ([arguments.sdas, "bench", "step", "--phase", phase, *shape, "--device", device, "--json"], None)
            for device in (arguments.ours or arguments.device).split(",")
        }
        for label, options in PEERS.items():
            command = [arguments.python, step, arguments.peer, phase, *shape, "--device", arguments.device, *options]
            limit = arguments.compile_limit if label == COMPILED else None
            if limit != 0:
                programs[label] = (command, limit)
        ours = None
        for label, (command, limit) in programs.items():
            try:
                measured = run(command, limit)
            except Failed as error:
                # That torch.compile does not get there is a result.
                failed |= label != COMPILED
                say(name, label, "", "", "", "", str(error))
                continue
            seconds, memory, about = measured["median_seconds"], measured["peak_memory"], measured.get("pytorch", "")
            if card := measured.get("card"):
                memory, about = card["memory"], f"{card['launches']} launches, "
            if "peak_bandwidth" in measured:
                operations = measured["operations_per_second"] / measured["peak_operations_per_second"]
                about += f"{operations:.0%} of multiply-adds, {measured['bandwidth'] / measured['peak_bandwidth']:.0%} of bandwidth"
                ours = ours or (seconds, memory)
            times, of_memory = [f"{own / our:.2f}" for own, our in zip((seconds, memory), ours)] if ours else ("", "")
            say(name, label, f"{seconds:.4f}", times, f"{memory / 2**20:.0f}", of_memory, about)
    if failed:
        sys.exit("not everything was measured")


if __name__ == "__main__":
    main()
