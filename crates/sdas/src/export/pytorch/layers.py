"""A network that people made, as sdas trained it: a module a layer, by the names that its weights have elsewhere."""
from typing import List

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# What follows goes into every folder.


def around_same(sizes: List[int], kernel: List[int], stride: List[int]) -> List[int]:
    """What is put before and after, from the last axis, so that the output is the input's size divided by the stride,
    rounded up (TensorFlow's SAME)."""
    around: List[int] = []
    for back in range(1, len(kernel) + 1):
        step, size = stride[-back], sizes[-back]
        missing = max(((size + step - 1) // step - 1) * step + kernel[-back] - size, 0)
        around += [missing // 2, missing - missing // 2]
    return around


def pad_same(x: Tensor, kernel: List[int], stride: List[int], value: float = 0.0) -> Tensor:
    return F.pad(x, around_same(x.shape, kernel, stride), value=value)


def average(x: Tensor, kernel: List[int], stride: List[int]) -> Tensor:
    """Means of windows that lie wholly in what is given."""
    return F.avg_pool2d(x, kernel, stride) if len(kernel) == 2 else F.avg_pool3d(x, kernel, stride)


def average_padded(x: Tensor, kernel: List[int], stride: List[int], around: List[int]) -> Tensor:
    """Means of windows over what is there, whatever is around it."""
    real = F.pad(x.new_ones([1, 1] + list(x.shape[2:])), around)
    return average(F.pad(x, around), kernel, stride) / average(real, kernel, stride)


def average_same(x: Tensor, kernel: List[int], stride: List[int]) -> Tensor:
    """Means of windows over what is there, padded as by `pad_same`."""
    return average_padded(x, kernel, stride, around_same(x.shape, kernel, stride))


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels in turn from each of so many groups."""
    return x.unflatten(1, [groups, x.size(1) // groups]).transpose(1, 2).flatten(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, softmax: bool) -> Tensor:
    """Every position gets the sum of the values of all, by how well its query goes with their keys."""
    products = query.flatten(2).transpose(1, 2) @ key.flatten(2)
    shares = products.softmax(2) if softmax else products / products.size(2)
    result = shares @ value.flatten(2).transpose(1, 2)
    return result.transpose(1, 2).reshape(value.shape[:2] + query.shape[2:])


def bilinear(x: Tensor) -> Tensor:
    """The sum over all positions of each channel times each."""
    rows = x.flatten(2)
    return (rows @ rows.transpose(1, 2)).flatten(1)


def signed_root(x: Tensor) -> Tensor:
    return x.sign() * (x.abs() + 1e-15).sqrt()


def unit_length(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-30).sqrt()


# The network: an example here, the network's own in a folder.
class Network(nn.Module):
    heads = ["classifier"]

    def __init__(self, config: dict, num_classes: int):
        super().__init__()
        self.num_features = 8
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """A new head for so many classes; none for 0."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(8, num_classes) if num_classes else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))

    def forward_head(self, x: Tensor) -> Tensor:
        return self.classifier(x.flatten(2).mean(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))
