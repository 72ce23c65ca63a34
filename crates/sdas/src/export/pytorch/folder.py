"""What reads a folder. Its imports are those of the whole that it becomes with a network's source before it."""
import importlib
import json
import struct
from pathlib import Path
from typing import Dict, List, Optional, Tuple  # noqa: F401

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: F401

from cells import Network

# What follows goes into every folder.

FOLDER = Path(__file__).resolve().parent
CONFIG = json.loads((FOLDER / "config.json").read_text("utf-8"))


def read_safetensors(path: Path) -> Dict[str, Tensor]:
    """The tensors of a safetensors file, by name."""
    data = bytearray(path.read_bytes())
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    types = {"F32": torch.float32, "F16": torch.float16}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = types[entry["dtype"]]
        values = torch.frombuffer(data, dtype=dtype, count=(end - begin) // dtype.itemsize, offset=8 + size + begin)
        tensors[name] = values.reshape(entry["shape"]).clone()
    return tensors


def prepare(pixels: Tensor) -> Tensor:
    """From 8-bit pixels, channels last, (N, H, W, C) or (N, T, H, W, C), to what the network reads."""
    pixels = pixels.float() / 255
    if CONFIG["normalization"] == "per_clip":
        stack, fresh = CONFIG["stack"], CONFIG["fresh"]
        if fresh is None:
            raise ValueError("whether a frame is in the stacks of two segments depends on the clip: normalise before")
        around = [1] * (pixels.dim() - 2)
        each = pixels.unflatten(-1, [stack, -1])
        # A frame that is in several stacks counts once: those of the first step, and then each step's own.
        known = stack - fresh if pixels.dim() == 5 else 0
        each = torch.cat([part.flatten(1, -2) for part in (each[:, :1, ..., :known, :], each[..., known:, :])], 1)
        mean, std = (values.repeat(1, stack).unflatten(1, [*around, -1])
                     for values in (each.mean(1), each.std(1, unbiased=False)))
        std = torch.where(std == 0, torch.ones_like(std), std)
    else:
        mean, std = (torch.tensor(CONFIG[key], device=pixels.device) for key in ("mean", "std"))
    return ((pixels - mean) / std).movedim(-1, 1).contiguous()


def replace_first(model: nn.Module, in_chans: int) -> None:
    """Another first convolution, which reads so many channels."""
    name = CONFIG["first_conv"]
    if not name:
        raise ValueError(f"in_chans={in_chans} is not supported: it is not one convolution alone that reads the samples")
    above, _, own = name.rpartition(".")
    conv = model.get_submodule(name)
    sizes = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.bias is not None)
    setattr(model.get_submodule(above), own, type(conv)(in_chans, conv.out_channels, *sizes))


def sdas(pretrained: bool = True, num_classes: Optional[int] = None, in_chans: Optional[int] = None,
         features_only: bool = False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None,
         **options) -> nn.Module:
    """The network, in evaluation mode; for another number of classes with a new head, for 0 without one; for another number
    of channels with a new first convolution. What is new has weights by chance.

    `pretrained_cfg` and so on are what timm hands over; there is nothing in them that is not in the folder.
    """
    if features_only:
        raise ValueError("features_only is not supported: forward_features gives the last features, and those alone")
    known, channels = CONFIG["num_classes"], CONFIG["input_size"][0]
    num_classes = known if num_classes is None else num_classes
    in_chans = channels if in_chans is None else in_chans
    model = Network(CONFIG, num_classes, **options)
    new = list(Network.heads) if num_classes != known else []
    if in_chans != channels:
        replace_first(model, in_chans)
        new.append(CONFIG["first_conv"])
    if pretrained:
        tensors, own = read_safetensors(FOLDER / "model.safetensors"), model.state_dict()
        for name in {f"{module}.{part}" for module in new for part in ("weight", "bias")}:
            tensors.pop(name, None)
            if name in own:
                tensors[name] = own[name]
        tensors.update((name, tensor) for name, tensor in own.items() if name.endswith("num_batches_tracked"))
        model.load_state_dict(tensors)
    heads = Network.heads
    model.default_cfg = model.pretrained_cfg = {
        "url": "", "num_classes": num_classes, "input_size": (in_chans, *CONFIG["input_size"][1:]), "pool_size": None,
        "crop_pct": 1.0, "interpolation": "bilinear", "mean": tuple(CONFIG["mean"]), "std": tuple(CONFIG["std"]),
        "first_conv": CONFIG["first_conv"], "classifier": heads[0] if len(heads) == 1 else tuple(heads),
    }
    return model.eval()


if __name__ == "sdas_net":  # And not under a name of torch.hub's, of which there may be several.
    try:
        importlib.import_module("timm.models").register_model(sdas)
    except ImportError:
        pass  # No timm, no `timm.create_model("sdas")`.
