"""Networks that people made, as torchvision computes them, and single layers as PyTorch does.

    python golden/handmade.py OUT SEED        # every network that torchvision has, at its full width
    python golden/handmade.py golden SEED kept  # the few narrow ones, and the layers, that are kept in the project

Needs torch (CPU), torchvision and safetensors. Weights are drawn, none are fetched. A file holds a network's weights by their
names, so that it is a file of weights itself, and beside them the input `x`, the `logits` of evaluation, and in the kept ones
`train.logits`, the `loss` against `target` and every weight's gradient, `g.` and its name. What goes in is rounded to single
precision first; what comes out is stored in double precision.
"""
import json
import os
import sys

import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

OUT, SEED = sys.argv[1], int(sys.argv[2])
KEPT = sys.argv[3:] == ["kept"]
CLASSES = 7

torch.set_default_dtype(torch.float64)

PICTURES = [
    "alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "googlenet",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d",
    "resnext101_32x8d", "resnext101_64x4d", "densenet121", "densenet161", "densenet169", "densenet201", "mobilenet_v2",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
]
CLIPS = ["r3d_18", "mc3_18", "r2plus1d_18", "s3d"]


def single(values):
    return values.detach().float().double()


def build(name, **options):
    place = torchvision.models.video if name in CLIPS else torchvision.models
    options = {**options, "aux_logits": False, "init_weights": True} if name == "googlenet" else options
    return getattr(place, name)(weights=None, num_classes=CLASSES, **options)


class Narrow:
    """While this is entered, layers are made with `1 / divisor` of their channels, but for pictures and classes."""

    def __init__(self, divisor):
        self.divisor = divisor
        self.layers = [nn.Conv2d, nn.Conv3d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Linear]
        self.made = [layer.__init__ for layer in self.layers]

    def fewer(self, channels):
        assert channels in (3, CLASSES) or channels % self.divisor == 0, channels
        return channels if channels in (3, CLASSES) else channels // self.divisor

    def __enter__(self):
        for layer, made in zip(self.layers, self.made):
            def init(own, *channels, made=made, **options):
                count = 1 if isinstance(own, nn.modules.batchnorm._BatchNorm) else 2
                named = {key: self.fewer(options[key]) for key in ("in_channels", "out_channels") if key in options}
                made(own, *map(self.fewer, channels[:count]), *channels[count:], **{**options, **named})
            layer.__init__ = init

    def __exit__(self, *_):
        for layer, made in zip(self.layers, self.made):
            layer.__init__ = made


@torch.no_grad()
def draw(network):
    """Norms that are not those of the start, and all numbers in single precision."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for values, least in ((module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                values.copy_(least + torch.rand_like(values))
    for values in [*network.parameters(), *network.buffers()]:
        if values.is_floating_point():
            values.copy_(single(values))


def save(name, case, given, computed):
    """What is given in single precision, which holds it exactly; what is computed in double."""
    for key, value in given.items():
        assert not value.is_floating_point() or torch.equal(single(value), value), key
    given = {key: value.float() if value.is_floating_point() else value for key, value in given.items()}
    tensors = {key: value.detach().clone().contiguous() for key, value in {**given, **computed}.items()}
    os.makedirs(OUT, exist_ok=True)
    save_file(tensors, os.path.join(OUT, f"{name}.safetensors"), {"case": json.dumps({**case, "double": True})})
    print(f"{name}: {len(tensors)} tensors")


def network(name, extent, make, width=1.0, samples=2, train=False):
    torch.manual_seed(SEED)
    net = make()
    draw(net)
    x = single(torch.randn(samples, 3, *extent))
    net.eval()
    computed = {"logits": net(x)}
    given = {key: value for key, value in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    given = {"x": x, **{key: value.clone() for key, value in given.items()}}
    if train:
        given["target"] = torch.randint(CLASSES, (samples,))
        net.train()
        logits = net(x)
        loss = nn.functional.cross_entropy(logits, given["target"])
        loss.backward()
        gradients = {f"g.{key}": value.grad for key, value in net.named_parameters()}
        computed = {**computed, "train.logits": logits, "loss": loss, **gradients}
    case = {"network": name, "width": width, "classes": CLASSES, "inputs": 3}
    save(f"handmade_{name}", case, given, computed)


def layers():
    """Single layers in the ways that networks use them, and in odder ones; `x` has odd sizes."""
    torch.manual_seed(SEED)
    f = nn.functional
    x = single(torch.randn(1, 6, 3, 7, 10))
    dense, grouped = single(torch.randn(4, 6, 3, 3, 2)), single(torch.randn(8, 3, 1, 3, 3))
    depthwise, bias = single(torch.randn(6, 1, 3, 3, 3)), single(torch.randn(4))
    rows = lambda y: y.flatten(2).transpose(1, 2)
    query, key, value = x, f.max_pool3d(x, (1, 2, 2)), f.max_pool3d(2 * x, (1, 2, 2))
    back = lambda y: y.transpose(1, 2).reshape(x.shape)
    products = rows(query) @ rows(key).transpose(1, 2)
    computed = {
        "dense": f.conv3d(x, dense, bias, stride=(1, 2, 3), padding=(1, 0, 1)),
        "grouped": f.conv3d(x, grouped, stride=(2, 1, 2), padding=(0, 2, 2), dilation=(1, 2, 2), groups=2),
        "depthwise": f.conv3d(x, depthwise, stride=2, padding=1, groups=6),
        "same": f.conv3d(f.pad(x, (0, 1, 1, 1, 1, 1)), dense, bias, stride=(1, 2, 2)),
        "max": f.max_pool3d(x, 3, (2, 2, 2), 1),
        "max_ceil": f.max_pool3d(x, (1, 2, 3), (1, 2, 2), ceil_mode=True),
        "average": f.avg_pool3d(x, 3, 2, 1, count_include_pad=True),
        "average_inside": f.avg_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1), count_include_pad=False),
        "average_ceil": f.avg_pool3d(x, (2, 3, 3), (2, 2, 2), (0, 1, 1), ceil_mode=True, count_include_pad=True),
        "average_ceil_inside": f.avg_pool3d(x, (2, 3, 3), (2, 2, 2), (0, 1, 1), ceil_mode=True, count_include_pad=False),
        "adaptive": f.adaptive_avg_pool3d(x, (2, 3, 12)),
        "response": f.local_response_norm(x, 3, 0.1, 0.75, 2.0),
        "attention": back(torch.softmax(products, 2) @ rows(value)),
        "attention_mean": back(products @ rows(value) / products.shape[2]),
        "shuffle": x.reshape(1, 2, 3, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
        "flatten": x.flatten(1)[:, :, None, None, None],
        "product": x.prod(2, keepdim=True),
        "bilinear": (x.flatten(2) @ x.flatten(2).transpose(1, 2)).flatten(1)[:, :, None, None, None],
        "hard_swish": f.hardswish(x),
        "hard_sigmoid": f.hardsigmoid(x),
    }
    save("layers", {}, {"x": x, "w.dense": dense, "w.grouped": grouped, "w.depthwise": depthwise, "w.bias": bias}, computed)


def checkpoint(of):
    """A network's weights as they lie in a checkpoint of a training on several cards, in single precision."""
    weights = load_file(os.path.join(OUT, f"{of}.safetensors"))
    is_result = lambda name: name in ("x", "target", "logits", "loss", "train.logits") or name.startswith("g.")
    network = {name: values.float() for name, values in weights.items() if not is_result(name)}
    state = {"epoch": 3, "state_dict": {f"module.{name}": values for name, values in network.items()}}
    state["optimizer"] = {"momentum_buffer": torch.zeros(5)}
    torch.save(state, os.path.join(OUT, "checkpoint.pth"))


def narrow(name, divisor, extent, samples):
    with Narrow(divisor):
        network(name, extent, lambda: build(name), 1 / divisor, samples, train=True)


if KEPT:
    layers()
    narrow("resnet18", 32, (40, 40), 4)
    checkpoint("handmade_resnet18")
    narrow("mc3_18", 32, (2, 32, 32), 4)
    stages = dict(stages_repeats=[4, 8, 4], stages_out_channels=[3, 6, 12, 24, 128], num_classes=CLASSES)
    network("shufflenet_v2_x0_5", (48, 48), lambda: torchvision.models.ShuffleNetV2(**stages), 1 / 8, 4, train=True)
else:
    for name in PICTURES:
        network(name, (64, 75), lambda: build(name))
    for name in CLIPS:
        extent = (16, 224, 224) if name == "s3d" else (5, 40, 48)
        network(name, extent, lambda: build(name), samples=1)
