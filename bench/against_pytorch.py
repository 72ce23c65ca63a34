#!/usr/bin/env python3
"""Times our step beside PyTorch's, in one run on one machine, and prints a table with the ratios.

    bench/against_pytorch.py PEER [--networks] [--device cuda] [--python PYTHON] [--sdas PATH] [--steps N] [--only PART]

PEER is the folder with cells.py, the same networks in PyTorch; PYTHON an interpreter that has PyTorch. Build first:
cargo build --release, for a card with --features cuda. With --networks the steps are of networks that people made, in
PyTorch as `sdas export` writes them, and not of searches and cells. With --vectors avx2 both sides do without wider ones.
Every step is timed one way after the other: ours; PyTorch as DARTS'
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
import tempfile

IMAGE = ["--channels", "16", "--layers", "8"]
# The network that is trained, none for a search; its sizes; how wide ours has to be made.
STEPS = {
    "cpu": {
        "image search, C 16, 8 cells, batch 16": (None, [*IMAGE, "--batch", "16"]),
        "image search, C 16, 8 cells, batch 64": (None, [*IMAGE, "--batch", "64"]),
        "video search, C 8, 5 cells, batch 4, 8x64x64": (
            None,
            ["--channels", "8", "--layers", "5", "--batch", "4", "--size", "64", "--frames", "8"],
        ),
        "training, DARTS V2, C 16, 8 cells, batch 32": ("darts_v2", [*IMAGE, "--batch", "32"]),
    },
    "cuda": {
        "image search, C 16, 8 cells, batch 64": (None, [*IMAGE, "--batch", "64"]),
        "video search, C 8, 5 cells, batch 16, 16x112x112": (
            None,
            ["--channels", "8", "--layers", "5", "--batch", "16", "--size", "112", "--frames", "16"],
        ),
        "training, DARTS V2, C 36, 20 cells, batch 96": ("darts_v2", ["--channels", "36", "--layers", "20", "--batch", "96"]),
    },
}
NETWORKS = {
    "cpu": {
        "training, ResNet-20, batch 128, 32x32": ("resnet20", ["--batch", "128", "--size", "32"]),
        "training, MobileNet x0.25, batch 64, 64x64": ("mobilenet_v1", ["--batch", "64", "--size", "64"], "--width", "0.25"),
        "training, R(2+1)D-18 x0.25, batch 8, 8x64x64": (
            "r2plus1d_18",
            ["--batch", "8", "--size", "64", "--frames", "8"],
            "--width",
            "0.25",
        ),
    },
    "cuda": {
        "training, ResNet-50, batch 64, 224x224": ("resnet50", ["--batch", "64", "--size", "224"]),
        "training, R(2+1)D-18, batch 8, 16x112x112": (
            "r2plus1d_18",
            ["--batch", "8", "--size", "112", "--frames", "16"],
        ),
    },
}
# What keeps PyTorch from vectors that are wider.
NARROW = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
FASTER = ["--channels-last", "--skip-unused-grads"]
COMPILED = "PyTorch, compiled"
PEERS = {"PyTorch, eager": [], "PyTorch, channels last": FASTER, COMPILED: [*FASTER, "--compile"]}


class Failed(Exception):
    """What a program says that measured nothing."""


def run(command, limit, environment):
    # With a group of its own, so that what it has started ends with it: torch.compile's own processes.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **pipes, start_new_session=True, env=environment)
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


def programs(arguments, network, shape, width, folder):
    """What times a step, by what it is called: a command, and the seconds that it may take."""
    shape = [*shape, "--steps", arguments.steps]
    vectors = ["--vectors", arguments.vectors] if arguments.vectors else []
    ours = [arguments.sdas, "bench", "step", *([network] if network else []), *width, *shape, *vectors, "--json"]
    theirs = [arguments.python, pathlib.Path(__file__).parent / "pytorch_step.py", arguments.peer]
    theirs += ["train" if network else "search", *shape, "--device", arguments.device]
    if arguments.networks:
        sizes = shape[shape.index("--batch") + 2 : shape.index("--steps")]
        export = [arguments.sdas, "export", network, "--to", "pytorch", "-o", folder, *width, *sizes, "--classes", "10"]
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours += ["--classes", "10"]
        theirs += ["--network", folder]
    found = {f"ours, {device}": ([*ours, "--device", device], None) for device in (arguments.ours or arguments.device).split(",")}
    for label, options in PEERS.items():
        limit = arguments.compile_limit if label == COMPILED else None
        if limit != 0:
            found[label] = ([*theirs, *options], limit)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=pathlib.Path)
    parser.add_argument("--networks", action="store_true", help="networks that people made")
    parser.add_argument("--device", choices=STEPS, default="cpu")
    parser.add_argument("--ours", help="devices of ours, separated by commas [default: that of PyTorch]")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--sdas", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "target/release/sdas")
    parser.add_argument("--steps", default="5")
    parser.add_argument("--compile-limit", type=float, default=120, help="0 leaves torch.compile out")
    parser.add_argument("--vectors", choices=["avx2"], help="do without wider ones")
    parser.add_argument("--only", default="", help="run the rows whose name contains this")
    arguments = parser.parse_args()
    # Ends what is being timed, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    environment = os.environ | (NARROW if arguments.vectors else {})
    failed = False
    say("step", "by", "s a step", "times ours", "MiB", "of ours", "")
    say(*["---"] * 2, *["--:"] * 4, "---")
    rows = (NETWORKS if arguments.networks else STEPS)[arguments.device]
    for name, (network, shape, *width) in rows.items():
        if arguments.only not in name:
            continue
        ours = None
        with tempfile.TemporaryDirectory() as folder:
            for label, (command, limit) in programs(arguments, network, shape, width, folder).items():
                try:
                    measured = run(command, limit, environment)
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
                    bandwidth = measured["bandwidth"] / measured["peak_bandwidth"]
                    about += f"{operations:.0%} of multiply-adds, {bandwidth:.0%} of bandwidth"
                    ours = ours or (seconds, memory)
                times, of_memory = [f"{own / our:.2f}" for own, our in zip((seconds, memory), ours)] if ours else ("", "")
                say(name, label, f"{seconds:.4f}", times, f"{memory / 2**20:.0f}", of_memory, about)
    if failed:
        sys.exit("not everything was measured")


if __name__ == "__main__":
    main()
