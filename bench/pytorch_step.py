#!/usr/bin/env python3
"""Times a step of a search or of a training in PyTorch and prints one JSON object; used by against_pytorch.py.

    bench/pytorch_step.py PEER search --channels 16 --layers 8 --batch 64 --device cuda

PEER is the folder with cells.py, our networks in PyTorch. What it does by default is what DARTS' own code does: channels
first, and every gradient in both half-steps. A training is that of DARTS V2's network, or of one that lies in a folder, as
`sdas export NETWORK --to pytorch` writes it.
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

WARM = 3
CLASSES = 10


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("phase", choices=["search", "train"])
    for name, value in [("channels", 16), ("layers", 8), ("batch", 16), ("size", 32), ("frames", 1), ("steps", 5)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--network", metavar="FOLDER", help="train this one")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--skip-unused-grads", action="store_true")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def search(cells, asked, prepared, batch):
    """α on one batch, then the weights on another, at first order."""
    video = asked.frames > 1
    net = cells.Supernet(3 if video else 2, asked.channels, asked.layers, CLASSES, stem_stride=(1, 2, 2) if video else None)
    weights, alpha = net.weights(), net.arch()
    net = prepared(net)
    of_weights = torch.optim.SGD(weights, 0.025, 0.9, weight_decay=3e-4)
    of_alpha = torch.optim.Adam(alpha, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def half(optimizer, own, other):
        for parameter in own:
            parameter.requires_grad_(True)
        for parameter in other:
            parameter.requires_grad_(not asked.skip_unused_grads)
        inputs, labels = batch()
        optimizer.zero_grad()
        F.cross_entropy(net(inputs), labels).backward()
        if optimizer is of_weights:
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()

    def step():
        half(of_alpha, alpha, weights)
        half(of_weights, weights, alpha)

    return step


def train(cells, asked, prepared, batch):
    """A network of layers, or that of DARTS V2's cells, with drop path."""
    if asked.network:
        net = torch.hub.load(asked.network, "sdas", source="local", trust_repo=True).to(asked.device).train()
    else:
        net = cells.Network(cells.GENOTYPES["darts_v2"], 2, asked.channels, asked.layers, CLASSES)
    parameters = list(net.parameters())
    net = prepared(net)
    logits = net if asked.network else lambda inputs: net(inputs, 0.2)[0]
    optimizer = torch.optim.SGD(parameters, 0.025, 0.9, weight_decay=3e-4)

    def step():
        inputs, labels = batch()
        optimizer.zero_grad()
        F.cross_entropy(logits(inputs), labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def main():
    asked = arguments()
    sys.path.insert(0, asked.peer)
    import cells

    on_card = asked.device != "cpu"
    # Whatever a network makes while it runs, it makes there.
    torch.set_default_device(asked.device)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    form = torch.contiguous_format
    if asked.channels_last:
        form = torch.channels_last_3d if asked.frames > 1 else torch.channels_last
    frames = (asked.frames,) if asked.frames > 1 else ()
    shape = (asked.batch, 3, *frames, asked.size, asked.size)

    def batch():
        return torch.randn(shape).contiguous(memory_format=form), torch.randint(0, CLASSES, (asked.batch,))

    def prepared(net):
        net = net.to(memory_format=form)
        return torch.compile(net) if asked.compile else net

    def timed():
        start = time.perf_counter()
        step()
        if on_card:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    step = {"search": search, "train": train}[asked.phase](cells, asked, prepared, batch)
    for _ in range(WARM):
        timed()
    seconds = [timed() for _ in range(asked.steps)]
    peak = torch.cuda.max_memory_allocated() if on_card else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"median_seconds": statistics.median(seconds), "peak_memory": peak, "pytorch": torch.__version__}))


if __name__ == "__main__":
    main()
