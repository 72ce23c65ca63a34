"""A network of cells, as sdas found and trained it. What is its own stands in config.json beside this file."""
from typing import List

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# What follows goes into every folder.


def convolution(inputs: int, outputs: int, kernel, stride, padding, dilation=1, groups=1) -> nn.Module:
    """A convolution without bias: over pictures where the kernel has two sizes, over clips where it has three."""
    kind = {2: nn.Conv2d, 3: nn.Conv3d}[len(kernel)]
    return kind(inputs, outputs, tuple(kernel), tuple(stride), padding, dilation, groups, bias=False)


def norm(channels: int, axes: int, affine: bool) -> nn.Module:
    return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes](channels, affine=affine)


class Average3d(nn.Module):
    """Means of windows over what is there of a clip, which may be smaller than a window."""

    def __init__(self, kernel: List[int], stride: List[int]):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.around = [size // 2 for size in reversed(kernel) for _ in range(2)]

    def forward(self, x: Tensor) -> Tensor:
        real = F.pad(x.new_ones([1, 1] + list(x.shape[2:])), self.around)
        sums = F.avg_pool3d(F.pad(x, self.around), self.kernel, self.stride)
        return sums / F.avg_pool3d(real, self.kernel, self.stride)


class Zero(nn.Module):
    """No edge: zeros of the size that the stride leaves."""

    def __init__(self, stride: List[int]):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        for axis, step in enumerate(self.stride):
            x = torch.index_select(x, axis + 2, torch.arange(0, x.size(axis + 2), step, device=x.device))
        return torch.zeros_like(x)


class FactorizedReduce(nn.Module):
    """ReLU, two strided 1x1 convolutions, the second over the input shifted by one, side by side; norm."""

    def __init__(self, inputs: int, outputs: int, stride: List[int], affine: bool):
        super().__init__()
        half, one, axes = outputs // 2, [1] * len(stride), len(stride)
        self.conv_a = convolution(inputs, half, one, stride, 0)
        self.conv_b = convolution(inputs, outputs - half, one, stride, 0)
        self.bn = norm(outputs, axes, affine)
        # Along every strided axis the first element goes, and a zero comes behind the last.
        self.shift = [by for step in reversed(stride) for by in ((-1, 1) if step > 1 else (0, 0))]

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return self.bn(torch.cat([self.conv_a(x), self.conv_b(F.pad(x, self.shift))], 1))


class Stage(nn.Sequential):
    """ReLU, depthwise convolution, 1x1 convolution, norm."""

    def __init__(self, channels: int, stage: dict, stride: List[int], affine: bool):
        kernel, dilation, axes = stage["kernel"], tuple(stage["dilation"]), len(stride)
        stride = [step if strided else 1 for step, strided in zip(stride, stage["strided"])]
        padding = tuple(size // 2 * apart for size, apart in zip(kernel, dilation))
        one = [1] * axes
        super().__init__(
            nn.ReLU(),
            convolution(channels, channels, kernel, stride, padding, dilation, groups=channels),
            convolution(channels, channels, one, one, 0),
            norm(channels, axes, affine),
        )


class Parallel(nn.Module):
    """The sum of stages over the same input."""

    def __init__(self, branches: List[nn.Module]):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        results = [branch(x) for branch in self.branches]
        y = results[0]
        for result in results[1:]:
            y = y + result
        return y


class Compromise(nn.Module):
    """y = S(x); y + T(y)."""

    def __init__(self, spatial: nn.Module, temporal: nn.Module):
        super().__init__()
        self.spatial, self.temporal = spatial, temporal

    def forward(self, x: Tensor) -> Tensor:
        y = self.spatial(x)
        return y + self.temporal(y)


class TemporalDifference(nn.Module):
    """ReLU, each frame less the one before (zeros for the first), strided 1x1 convolution, norm: motion alone."""

    def __init__(self, channels: int, stride: List[int], affine: bool):
        super().__init__()
        self.conv = convolution(channels, channels, [1, 1, 1], stride, 0)
        self.bn = norm(channels, 3, affine)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        difference = torch.cat([torch.zeros_like(x[:, :, :1]), x[:, :, 1:] - x[:, :, :-1]], 2)
        return self.bn(self.conv(difference))


def operation(what: dict, inputs: int, outputs: int, stride: List[int], affine: bool) -> nn.Module:
    """The module that an operation of config.json is. Norms of a search's networks are not affine."""
    kind, axes = what["kind"], len(stride)
    if kind == "zero":
        return Zero(stride)
    if kind == "skip":
        if inputs == outputs and max(stride) == 1:
            return nn.Identity()
        return FactorizedReduce(inputs, outputs, stride, affine)
    if kind in ("max_pool", "average_pool"):
        kernel = what["kernel"]
        around = tuple(size // 2 for size in kernel)
        if kind == "max_pool":
            pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[axes](tuple(kernel), tuple(stride), around)
        elif axes == 3:
            pool = Average3d(kernel, stride)
        else:
            pool = nn.AvgPool2d(tuple(kernel), tuple(stride), around, count_include_pad=False)
        return nn.Sequential(pool, norm(outputs, axes, affine)) if what["normed"] else pool
    if kind == "chain":
        stages = [Stage(outputs, stage, stride, affine) for stage in what["stages"]]
        return stages[0] if len(stages) == 1 else nn.Sequential(*stages)
    if kind == "parallel":
        return Parallel([Stage(outputs, stage, stride, affine) for stage in what["stages"]])
    if kind == "compromise":
        return Compromise(*(Stage(outputs, what[part], stride, affine) for part in ("spatial", "temporal")))
    if kind == "temporal_difference":
        return TemporalDifference(outputs, stride, affine)
    if kind == "convolution":
        activation = [nn.ReLU()] if what["activated"] else []
        around = tuple(size // 2 for size in what["kernel"])
        conv = convolution(inputs, outputs, what["kernel"], stride, around)
        return nn.Sequential(*activation, conv, norm(outputs, axes, affine))
    if kind == "largest":
        if max(stride) == 1:
            return nn.Identity()
        return {2: nn.MaxPool2d, 3: nn.MaxPool3d}[axes](tuple(stride), tuple(stride), ceil_mode=True)
    if kind == "shrink":
        means = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[axes]
        means = means(tuple(stride), tuple(stride), ceil_mode=True, count_include_pad=False)
        return nn.Sequential(means, convolution(inputs, outputs, [1] * axes, [1] * axes, 0))
    if kind == "normalise":
        return nn.Sequential(norm(outputs, axes, affine))
    raise ValueError(f"config.json has an operation of an unknown kind, {kind}")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first of which reduces the size, and beside them means and a 1x1 convolution."""

    def __init__(self, cell: dict):
        super().__init__()
        (inputs,), outputs, stride = cell["inputs"], cell["channels"], cell["stride"]
        axes, one = len(stride), [1] * len(stride)
        three = [3 if axis >= axes - 2 else 1 for axis in range(axes)]
        conv = {"kind": "convolution", "kernel": three, "activated": True}
        self.conv_a = operation(conv, inputs, outputs, stride, True)
        self.conv_b = operation(conv, outputs, outputs, one, True)
        self.downsample = operation({"kind": "shrink"}, inputs, outputs, stride, True)

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        return self.conv_b(self.conv_a(last)) + self.downsample(last)


class Cell(nn.Module):
    """States are the cell's inputs and its nodes; a node is the sum of its edges, each an operation on an earlier state."""

    def __init__(self, cell: dict, kind: dict, operations: dict, drop_path_rate: float):
        super().__init__()
        channels, inputs, affine = cell["channels"], cell["inputs"], cell["affine"]
        one = [1] * len(cell["stride"])
        pre = [nn.Identity(), nn.Identity()]
        for at, stride in enumerate(cell["preprocess"]):
            how = "project" if max(stride) == 1 else "skip"
            pre[at] = operation(operations[how], inputs[at], channels, stride, affine)
        self.pre0, self.pre1 = pre
        self.inputs = len(inputs)
        # A trained network's edges are called `ops`, those of a search `edges`; the other one is empty.
        self.ops, self.edges = nn.ModuleDict(), nn.ModuleDict()
        self.sources: List[int] = []
        self.nodes: List[int] = []
        self.can_drop: List[bool] = []
        for edge in kind["edges"]:
            stride = cell["stride"] if edge["from"] < len(inputs) else one
            module = operation(operations[edge["operation"]], channels, channels, stride, affine)
            family, name = edge["module"].split(".")
            getattr(self, family)[name] = module
            self.sources.append(edge["from"])
            self.nodes.append(edge["node"])
            self.can_drop.append(not isinstance(module, nn.Identity))
        self.output: List[int] = kind["output"]
        self.drop_path_rate = drop_path_rate

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        states = [self.pre0(last)] if self.inputs == 1 else [self.pre0(before), self.pre1(last)]
        for index, op in enumerate(self.ops.values()):
            self.add(states, index, op(states[self.sources[index]]))
        for index, op in enumerate(self.edges.values()):
            self.add(states, index, op(states[self.sources[index]]))
        return torch.cat([states[state] for state in self.output], 1)

    def add(self, states: List[Tensor], index: int, result: Tensor) -> None:
        """Adds an edge's result to its node. Edges are in the order of their nodes."""
        if self.drop_path_rate > 0.0 and self.training and self.can_drop[index]:
            kept = torch.rand(result.size(0), device=result.device) >= self.drop_path_rate
            factors = kept.to(result.dtype) / (1.0 - self.drop_path_rate)
            result = (result.transpose(0, -1) * factors).transpose(0, -1)
        if self.nodes[index] == len(states):
            states.append(result)
        else:
            states[self.nodes[index]] = states[self.nodes[index]] + result


class Network(nn.Module):
    """Stem, cells one after another, mean over all positions, classifier."""

    heads = ["classifier"]

    def __init__(self, config: dict, num_classes: int, drop_rate: float = 0.0, drop_path_rate: float = 0.0):
        super().__init__()
        operations, kinds = config["operations"], config["kinds"]
        self.num_features = config["num_features"]
        stems = [self.convolutions(stem) for stem in config["stems"]]
        # One stem, or two, of which the second cell's older input is the first.
        self.stem = stems[0] if len(stems) == 1 else nn.Identity()
        self.stem0, self.stem1 = stems if len(stems) == 2 else (nn.Identity(), nn.Identity())
        self.cells = nn.ModuleList(
            ResidualBlock(cell) if cell["kind"] == "residual" else
            Cell(cell, kinds[cell["kind"]], operations, drop_path_rate)
            for cell in config["cells"])
        axes = len(config["input_size"]) - 1
        closing = [norm(self.num_features, axes, True), nn.ReLU()] if config["closing"] else []
        self.lastact = nn.Sequential(*closing)
        self.drop = nn.Dropout(drop_rate)
        self.classifier: nn.Module = nn.Identity()
        self.reset_classifier(num_classes)

    @staticmethod
    def convolutions(stem: List[dict]) -> nn.Module:
        layers: List[nn.Module] = []
        for block in stem:
            layers += operation(block, block["inputs"], block["outputs"], block["stride"], True)
        return nn.Sequential(*layers)

    def reset_classifier(self, num_classes: int) -> None:
        """A new head for so many classes; none for 0."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def forward_features(self, x: Tensor) -> Tensor:
        """The last cell's output, positions and all."""
        before = self.stem0(self.stem(x))
        last = self.stem1(before)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.lastact(last)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.drop(x.flatten(2).mean(2))
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))
