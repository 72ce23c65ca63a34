"""Golden files in double precision: the numbers that a peer's `make_golden.py` writes, computed with 53 bits.

    python golden/make.py PEER OUT SEED          # everything, for a seed
    python golden/make.py PEER golden SEED kept  # the few, small cases that are kept in the project

The kept networks are those of seed 2: few of their elements lie near a ReLU's or a maximum's kink, so that nearly every
tensor is held to the full tolerance in single precision, too. The kept operations are `make_golden.py`'s.

PEER is the folder of `make_golden.py` and `cells.py`; needs torch (CPU), numpy and safetensors. What goes in (pictures,
weights, α) is rounded to single precision first, so that both precisions begin with the same numbers; what comes out is
stored in double precision. Names and layouts are `make_golden.py`'s.

Two things differ from it. α is rounded to single precision after every step of its optimizer, as the project keeps it. And
the network with an auxiliary head gets a batch of 12, so that the head's norms go over twelve values: over three, as there,
a norm's gradient is what is left of three numbers after two conditions, and rounding is multiplied by hundreds.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file

PEER, OUT, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3])
KEPT = sys.argv[4:] == ["kept"]
sys.path.insert(0, PEER)
import make_golden as peer  # noqa: E402

torch.set_default_dtype(torch.float64)
peer.SEED = SEED

# Channels of the kept supernets.
SMALL = 2


def single(values):
    return values.detach().float().double()


@torch.no_grad()
def round_parameters(module):
    for parameter in module.parameters():
        parameter.copy_(single(parameter))
    return module


def save(name, case, tensors):
    """Inputs in single precision, which holds them exactly; results in double precision."""
    given = lambda key: key in ("x", "eval.x", "gy") or key.endswith(".x") or key.startswith(("p.", "p0."))
    flat = {}
    for key, value in tensors.items():
        value = value.detach().clone().contiguous()
        if value.is_floating_point() and given(key):
            assert torch.equal(single(value), value), f"{name}: {key} is not in single precision"
            value = value.float()
        flat[key] = value
    if KEPT:
        flat, case = keep(name, case, flat)
    os.makedirs(OUT, exist_ok=True)
    save_file(flat, os.path.join(OUT, name + ".safetensors"), {"case": json.dumps({**case, "double": True})})
    print(f"{name}: {len(flat)} tensors")


def keep(name, case, tensors):
    """The case with the sizes of a kept file, and without what would only make it larger."""
    if name.startswith("search_step"):
        case = {**case, "channels": SMALL}
        # Of the weights after a step, those of one cell after the second.
        later = ("p1.alpha", "p2.alpha", "p2.cells.1.")
        tensors = {k: v for k, v in tensors.items() if not k.startswith(("p1.", "p2.")) or k.startswith(later)}
    return tensors, case


draw, draw_like, make_supernet = torch.randn, torch.randn_like, peer.make_supernet


def randn(*size, requires_grad=False):
    return single(draw(*size)).requires_grad_(requires_grad)


def rounded_supernet(nd, size, **sizes):
    net, batch = make_supernet(nd, size, **({**sizes, "c": SMALL} if KEPT else sizes))
    return round_parameters(net), batch


class RoundedNetwork(peer.Network):
    def forward(self, *inputs):
        return super(RoundedNetwork, round_parameters(self)).forward(*inputs)


class RoundedAdam(torch.optim.Adam):
    def step(self):
        super().step()
        for group in self.param_groups:
            for alpha in group["params"]:
                alpha.data = single(alpha)


torch.randn, torch.randn_like = randn, lambda like: single(draw_like(like))
torch.optim.Adam = RoundedAdam
peer.save, peer.make_supernet, peer.Network = save, rounded_supernet, RoundedNetwork
peer.MAKE = {nd: lambda *of, make=make: round_parameters(make(*of)) for nd, make in peer.MAKE.items()}

if KEPT:
    peer.supernet("image", 2, (12, 12), c=SMALL)
    peer.decided("image", 2, (12, 12), c=SMALL)
    peer.search_step("second_order", 2)
    peer.network("cifar_all_image", "all_image", 2, (15, 13), "cifar", 4, 4)
else:
    peer.ops(2, [(8, 8), (7, 5)])
    peer.ops(3, [(4, 6, 6), (3, 5, 7)])
    peer.supernet("image", 2, (12, 12))
    peer.supernet("video", 3, (4, 12, 12), stem_stride=(1, 2, 2))
    peer.decided("image", 2, (12, 12))
    peer.decided("video", 3, (4, 12, 12), stem_stride=(1, 2, 2))
    peer.search_step("first_order", 1)
    peer.search_step("second_order", 2)
    peer.network("cifar_darts_v2", "darts_v2", 2, (32, 32), "cifar", 6, 5, aux=True, n=12)
    peer.network("cifar_all_image", "all_image", 2, (15, 13), "cifar", 6, 4)
    peer.network("imagenet_all_image", "all_image", 2, (64, 64), "imagenet", 8, 5)
    peer.network("video_all_video", "all_video", 3, (8, 32, 32), "video", 8, 4)
