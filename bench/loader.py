#!/usr/bin/env python3
"""Times our loader beside torchvision's with Pillow, on the same files, one core each, and prints the ratios.

    bench/loader.py DIR [--python PYTHON] [--side N] [--pictures N] [--rounds N]

DIR holds train/<class>/*; PYTHON is an interpreter that has torch and torchvision. Build first:
cargo build --release -p sdas-data --example loader. Every row is timed in turns, ours and theirs, and the fastest round of
each counts. Train is a random resized crop and a flip, jitter adds colours (0.4, 0.4, 0.4, 0.1), and test is the middle of
7/8 of the short side, which torchvision has as resizing and cutting.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROWS = ["train", "jitter", "test"]

PEER = """
import json, resource, sys, time
import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms as T

folder, what, side, pictures = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(1)
end = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
crop = [T.RandomResizedCrop(side), T.RandomHorizontalFlip()]
steps = {
    "train": crop + end,
    "jitter": crop + [T.ColorJitter(0.4, 0.4, 0.4, 0.1)] + end,
    "test": [T.Resize(side * 8 // 7), T.CenterCrop(side)] + end,
}[what]
data = datasets.ImageFolder(folder + "/train", T.Compose(steps))
start, done = time.perf_counter(), 0
for batch, _ in DataLoader(data, batch_size=64, shuffle=what != "test"):
    done += len(batch)
    if done >= pictures:
        break
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"pictures": done, "per_second": done / seconds, "peak_mb": peak}))
"""


def run(command, core):
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, [core]))
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--side", default="224")
    parser.add_argument("--pictures", default="1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    arguments = parser.parse_args()
    loader = pathlib.Path(__file__).parent.parent / "target" / "release" / "examples" / "loader"
    for what in ROWS:
        common = [arguments.folder, what, arguments.side]
        rounds = [
            (
                run([loader, *common, "1", arguments.pictures], arguments.core),
                run([arguments.python, "-c", PEER, *common, arguments.pictures], arguments.core),
            )
            for _ in range(arguments.rounds)
        ]
        ours, theirs = (max(side, key=lambda done: done["per_second"]) for side in zip(*rounds))
        times = ours["per_second"] / theirs["per_second"]
        print(
            f"{what:7} ours {ours['per_second']:7.1f} a second, {ours['peak_mb']:5.0f} MiB; "
            f"torchvision {theirs['per_second']:7.1f}, {theirs['peak_mb']:5.0f} MiB: {times:.2f} x",
            flush=True,
        )


if __name__ == "__main__":
    main()
