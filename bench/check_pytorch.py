#!/usr/bin/env python3
"""Checks what `sdas export --to pytorch` writes against sdas itself, and prints a table of the largest differences.

    bench/check_pytorch.py --pictures CIFAR --clips UTD [--sdas PATH] [--only NAME,NAME] [--keep DIR]

Run by a Python that has torch, and timm for its part. CIFAR is the folder of CIFAR-10's binary version, UTD one with clips below
it; a few of both are copied, without loss, into small sets of four classes, which the networks are trained on for a moment:
cells of the three spaces, the network that a search has decided, and several that people made. Build first:
cargo build --release.

Each network is exported, loaded by torch.hub, and asked about the set's test pictures:

predict   the largest difference of its logits from those of `sdas predict`, by the largest logit and up to the constant that
          probabilities lose
rounding  that of torch's logits in double precision from those in single
script    from what torch.jit.script makes of it, and `export` from torch.export with a batch of its own size
timm      from what timm.create_model makes
step      how far a step of SGD with momentum on the whole set, the same in both and from the same weights, changes weights
          otherwise than torch's: by tensor the length of the difference by that of torch's change, of which the largest; so
          halved gradients are 0.5, whatever the rate. A tensor's change counts as no less than a last place of the network's
          weights. Nothing is dropped by chance meanwhile, or else no two steps were the same
own       how far a network magnifies rounding: what `step` is, at most, of DRAWS steps of torch's in double precision from
          weights that are moved at random by up to a last place of single precision, against the one in double precision from
          these very weights. A ReLU whose input is zero but for rounding suffices
norms     the largest difference of a norm's running statistics after it: of means by the length of the deviations, of
          variances by their own
logits    that of the logits after a step from the same weights at a rate that moves torch's by about MOVED: at RATE they are
          moved by `moved`, a hundred times as far in some networks, and what rounding comes to in them with it; `own logits`
          is how far torch's in single precision are from those in double then
back      what the step came to is saved by torch, read by `sdas predict --weights`: the logits' difference, likewise; and
          `sdas eval --weights` must give torch's loss

It ends with 1 if a difference is larger than 1e-5, after a step than LIMITS says, or `step`, in a network that magnifies rounding,
than SPREAD times its own; and also where that is more than TELLS, so that it says nothing of the gradients.
"""
import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import torch
from torch.nn import functional as F

# CIFAR-10's, by their numbers there. Pictures with even grounds have values that are equal but for rounding, of which the largest
# is another here and there.
CLASSES = {"cat": 3, "deer": 4, "frog": 6, "horse": 7}
# By class: to train on, to test on.
PICTURES, CLIPS = (8, 4), (4, 2)
FRAMES = 8
RATE, DECAY = 0.01, 3e-4
# A few steps that leave logits small, so that probabilities tell them.
SHORT = {"train.epochs": 6, "train.label_smoothing": 0.1, "train.weights.rate": RATE / 2}
# Where such steps have gradients that leave nothing of a network.
SHORT_OF = {"s3d": {"train.weights.clip": 5}}
STEP = {"train.epochs": 1, "train.weights.weight_decay": DECAY}
CELLS = {"train.channels": 8, "train.cells": 5}
WIDE = {"data.size": 64, "train.width": 0.25}
# As if from a search: every operation of its space is in it.
IMAGE = ("Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('dil_conv_3x3', 0), ('dil_conv_5x5', 2), "
         "('avg_pool_3x3', 1), ('skip_connect', 0), ('max_pool_3x3', 3), ('sep_conv_5x5', 4)], normal_concat=[2, 3, 4, 5], "
         "reduce=[('dil_conv_5x5', 0), ('avg_pool_3x3', 1), ('skip_connect', 0), ('sep_conv_5x5', 1), ('dil_conv_3x3', 1), "
         "('sep_conv_3x3', 2), ('skip_connect', 3), ('max_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])")
VIDEO = ("Genotype(normal=[('sep_conv_1x3x3', 0), ('p3d_a_3x3x3', 1), ('p3d_b_3x3x3', 0), ('p3d_c_3x3x3', 1), "
         "('temporal_diff', 1), ('skip_connect', 0), ('dil_conv_3x1x1', 0), ('sep_conv_3x3x3', 2)], "
         "normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3x3', 0), ('dil_conv_1x3x3', 1), ('skip_connect', 2), "
         "('sep_conv_3x1x1', 1), ('p3d_c_3x3x3', 0), ('skip_connect', 1), ('temporal_diff', 0), ('avg_pool_3x3x3', 1)], "
         "reduce_concat=[2, 3, 4, 5])")
NB201 = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
# What is trained, on pictures or clips, with what settings; None searches.
NETWORKS = {
    "image, all operations": (IMAGE, "pictures", CELLS),
    "image, ImageNet's stem": (IMAGE, "pictures", {**CELLS, "train.stem": "imagenet", "data.size": 64}),
    "image over clips": (IMAGE, "clips", {**CELLS, "train.stem": "video"}),
    "video, all operations": (VIDEO, "clips", {**CELLS, "train.stem": "cifar"}),
    "video, video's stem": (
        VIDEO, "clips", {**CELLS, "train.stem": "video", "data.clip.normalization": "per_clip"}),
    "nb201": (NB201, "pictures", {"train.channels": 8, "train.cells": 6}),
    "a search of pictures": (None, "pictures", {"search.channels": 4, "search.cells": 4, "search.batch": 16}),
    "a search of clips": (None, "clips", {"search.channels": 4, "search.cells": 4, "search.batch": 8}),
    "resnet20": ("resnet20", "pictures", {}),
    "resnet18": ("resnet18", "pictures", WIDE),
    # Narrower, whether a number is above zero is more often a matter of rounding, so that a step tells little: here a gate is
    # one number.
    "seresnet18": ("seresnet18", "pictures", {**WIDE, "train.width": 0.5}),
    "densenet_bc100_12": ("densenet_bc100_12", "pictures", {"train.width": 0.5}),
    "mobilenet_v1": ("mobilenet_v1", "pictures", {**WIDE, "train.width": 0.5}),
    "shufflenet_v1_g3": ("shufflenet_v1_g3", "pictures", WIDE),
    "shufflenet_v2_x1_0": ("shufflenet_v2_x1_0", "pictures", {"train.width": 0.5}),
    "xception": ("xception", "pictures", WIDE),
    "resnet20 of stacked frames": (
        "resnet20", "clips", {"data.clip.frames": 1, "data.clip.stack": FRAMES, "data.clip.normalization": "per_clip"}),
    "c2d_r50": ("c2d_r50", "clips", {"data.size": 64, "train.width": 0.5}),
    "r2plus1d_18": ("r2plus1d_18", "clips", {"train.width": 0.25}),
    "mc3_18": ("mc3_18", "clips", {"train.width": 0.25}),
    # Its gradients are large with clips this small, so that a step at the others' rate leaves no numbers.
    "s3d": ("s3d", "clips", {"data.size": 64, "train.width": 0.25, "train.weights.rate": RATE / 100}),
}
# After a step; what rounding explains in every network.
LIMITS = {"step": 1e-3, "norms": 1e-4, "logits": 1e-4}
# Every layer rounds, not the weights alone: so many times further apart may two ways of rounding be.
SPREAD = 4
# A limit for `step` above this would let wrong gradients pass.
TELLS = 0.1
DRAWS = 16
# Twenty times what they may differ by.
MOVED = 2e-3
LAST_PLACE = 2**-23
COLUMNS = ["predict", "rounding", "script", "export", "timm", "step", "own", "norms", "moved", "logits", "own logits", "back"]


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def settings(values):
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def write_pictures(cifar, root, size):
    """Pictures of a few classes, as PPM; larger ones are between the pixels of the small."""
    for split, file, count in (("train", "data_batch_1.bin", PICTURES[0]), ("test", "test_batch.bin", PICTURES[1])):
        data = torch.frombuffer(bytearray((cifar / file).read_bytes()), dtype=torch.uint8).reshape(-1, 3073)
        for name, number in CLASSES.items():
            pictures = data[data[:, 0] == number][:count, 1:].reshape(-1, 3, 32, 32).float()
            pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
            for at, picture in enumerate(pictures.round().clamp(0, 255).byte().movedim(1, -1)):
                path = root / split / name / f"{at}.ppm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"P6 {size} {size} 255\n".encode() + bytes(picture.flatten().tolist()))


def write_clips(folder, root, size):
    """Short pieces of real clips, each class of others, without loss."""
    count = len(CLASSES) * sum(CLIPS)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".avi", ".mp4"))
    files = files[::max(len(files) // count, 1)][:count]
    places = [(split, name, at) for split, of in zip(("train", "test"), CLIPS) for name in CLASSES for at in range(of)]
    for file, (split, name, at) in zip(files, places):
        path = root / split / name / f"{at}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        run("ffmpeg", "-v", "error", "-i", file, "-vf", f"scale={size}:{size}", "-frames:v", FRAMES, "-pix_fmt", "bgr0",
            "-c:v", "ffv1", path)


def decode(path, size):
    """8-bit pixels, channels last."""
    if path.suffix == ".ppm":
        data = path.read_bytes()[-3 * size * size:]
        return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(size, size, 3)
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(-1, size, size, 3)


def load(files, size, stacked=False):
    pixels = torch.stack([decode(file, size) for file in files])
    if stacked:
        pixels = pixels.movedim(1, -2).flatten(-2)
    return pixels, torch.tensor([sorted(CLASSES).index(file.parent.name) for file in files])


def module(model):
    """What the network's file has beside it."""
    return sys.modules[type(model).__module__]


def predicted(run_folder, files, more=()):
    """The logits of `sdas predict`, up to a constant."""
    told = run(SDAS, "predict", run_folder, *files, "--top", len(CLASSES), "--json", *more)
    rows = [dict(prediction["classes"]) for prediction in map(json.loads, told.splitlines())]
    return torch.tensor([[row[name] for name in sorted(CLASSES)] for row in rows], dtype=torch.float64).log()


def difference(values, others):
    return (values.detach().double() - others.detach().double()).abs().max().item()


def largest(values):
    """No number where one is none, which `max` may lose."""
    return torch.tensor(list(values), dtype=torch.float64).max().item()


def apart(logits, others):
    """The largest difference of logits up to a constant, by the largest, as check_onnx.py has it."""
    logits, others = (values.detach().double() - values.detach().double().mean(1, keepdim=True)
                      for values in (logits, others))
    return ((logits - others).abs().max() / logits.abs().max()).item()


class Set:
    """Pictures or clips, in a size."""

    def __init__(self, sources, root, kind, size):
        self.root, self.size = root / f"{kind}-{size}", size
        if not self.root.exists():
            {"pictures": write_pictures, "clips": write_clips}[kind](sources[kind], self.root, size)
        self.train, self.test = (sorted((self.root / split).rglob("*.*")) for split in ("train", "test"))
        clip = {"data.clip.frames": FRAMES, "data.clip.stride": 1, "eval.clips": 1, "eval.crops": 1,
                "data.clip.crop": size, "train.stem": "cifar"}
        still = {"train.augment.flip": False, "train.augment.crop_padding": 0, "train.augment.cutout": 0,
                 "train.holdout": 0, "train.drop_path": 0, "train.dropout": 0, "train.handmade_dropout": 0,
                 "train.auxiliary": 0,
                 "train.weights.clip": 0, "train.batch": len(self.train), "data.size": size,
                 "data.cache": str(root / "cache"), "search.augment.flip": False}
        self.settings = {**still, **(clip if kind == "clips" else {})}
        if kind == "clips":
            self.settings["train.cropping.kind"] = self.settings["search.cropping.kind"] = "centre"
        self.recipe = [{"pictures": "folder", "clips": "clips"}[kind], "--data", self.root]


def check(name, place, sources):
    network, kind, own = NETWORKS[name]
    folder = place / "".join(letter if letter.isalnum() else "-" for letter in name)
    folder.mkdir()
    data = Set(sources, place, kind, own.get("data.size", 32))
    values = {**data.settings, "train.weights.rate": RATE, **own}
    trained = folder / "trained"
    if network is None:
        short = {"search.epochs": 3, "search.alpha_warmup": 0, "search.schedule.start": 0.1, "search.schedule.end": 0.5,
                 "search.weights.rate": 0.005}
        run(SDAS, "search", *data.recipe, "--out", trained, *settings({**values, **short}))
    else:
        genotype = folder / "genotype.txt"
        genotype.write_text(network + "\n")
        what = network if network.isidentifier() else genotype
        run(SDAS, "train", what, *data.recipe, "--out", trained, *settings({**values, **SHORT, **SHORT_OF.get(what, {})}))
    start = time.time()
    run(SDAS, "export", trained, "--to", "pytorch", "-o", folder / "torch")
    row = {"seconds": time.time() - start,
           "bytes": sum(file.stat().st_size for file in (folder / "torch").iterdir())}
    hub = {"repo_or_dir": str(folder / "torch"), "model": "sdas", "source": "local"}
    model = torch.hub.load(**hub)
    prepare = module(model).prepare
    pixels, labels = load(data.test, data.size, "data.clip.stack" in own)
    inputs = prepare(pixels)
    with torch.no_grad():
        logits = model(inputs)
        row["predict"] = apart(logits, predicted(trained, data.test))
        row["rounding"] = apart(logits, copy.deepcopy(model).double()(inputs.double()))
        row["script"] = difference(torch.jit.script(model)(inputs), logits)
        batch = torch.export.Dim("batch")
        exported = torch.export.export(model, (inputs[:2],), dynamic_shapes=({0: batch},))
        row["export"] = difference(exported.module()(inputs), logits)
        row["timm"] = difference(with_timm(folder / "torch")(inputs), logits)
        check_options(folder / "torch", model, inputs)
    if network is not None:
        row.update(step(model, what, trained, folder, data, values, (inputs, labels)))
    return row


def with_timm(folder, **options):
    """What timm makes of the folder's module."""
    import timm  # noqa: PLC0415: it may not be there

    sys.path.insert(0, str(folder))
    sys.modules.pop("sdas_net", None)
    try:
        __import__("sdas_net")
        return timm.create_model("sdas", pretrained=True, **options)
    finally:
        sys.path.pop(0)


def refused(folder, words, **options):
    """Says that timm is refused a model, in so many words."""
    try:
        with_timm(folder, **options)
    except ValueError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{options} is no error")


def check_options(folder, model, inputs):
    """What hub and timm may ask for: other classes, other channels; features as one tensor, and by themselves."""
    hub = {"repo_or_dir": str(folder), "model": "sdas", "source": "local"}
    other, none = (torch.hub.load(**hub, num_classes=count) for count in (7, 0))
    assert other(inputs).shape == (len(inputs), 7)
    assert none(inputs).shape == (len(inputs), model.num_features), none(inputs).shape
    features = model.forward_features(inputs)
    assert features.shape[1] == model.num_features
    assert torch.equal(model.forward_head(features), model(inputs))
    before = model.forward_head(features, pre_logits=True)
    # Where the last layer is a convolution, there are positions still.
    assert torch.allclose(before if before.dim() == 2 else before.flatten(2).mean(2), none(inputs))
    refused(folder, "features_only is not supported", features_only=True)
    first, channels = model.default_cfg["first_conv"], inputs.shape[1]
    if not first:
        refused(folder, f"in_chans={channels + 1} is not supported", in_chans=channels + 1)
        return
    wider, own = with_timm(folder, in_chans=channels + 1), model.state_dict()
    assert wider(torch.cat([inputs, inputs[:, :1]], 1)).shape == model(inputs).shape
    assert wider.default_cfg["input_size"][0] == channels + 1
    assert all(torch.equal(values, own[name]) for name, values in wider.state_dict().items()
               if name.rpartition(".")[0] != first)


def move(network, seed):
    """Moves every number by up to a last place of single precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in (*network.parameters(), *network.buffers()):
            if values.is_floating_point():
                values *= 1 + LAST_PLACE * (2 * torch.rand(values.shape, generator=generator) - 1)
    return network


class Stepped:
    """What a step has made of a network."""

    def __init__(self, before, state, logits):
        self.state, self.logits = state, logits
        self.changes = {name: state[name].detach().double() - before[name] for name in before}

    def apart(self, others):
        """Of all tensors the largest difference of a change from those of another step, by the length of the other's."""
        weights = torch.cat([others.state[name].detach().double().flatten() for name in others.changes])
        least = LAST_PLACE * weights.square().mean().sqrt()
        return largest(((self.changes[name] - change).norm() / change.norm().clamp(min=least * change.numel() ** 0.5))
                       for name, change in others.changes.items())


def step(model, what, trained, folder, data, values, test):
    """A step in both, from the trained weights, on the whole training set; what torch's comes to goes back."""
    pixels, labels = load(data.train, data.size, "data.clip.stack" in values)
    inputs, truth = test

    def weights_of(network):
        return {name: values.detach().double().clone() for name, values in network.named_parameters()}

    def stepped_in(network, rate=values["train.weights.rate"]):
        before = weights_of(network)
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), rate, momentum=0.9, weight_decay=DECAY)
        prepared = module(model).prepare(pixels).to(next(network.parameters()).dtype)
        F.cross_entropy(network(prepared), labels).backward()
        optimizer.step()
        network.eval()
        with torch.no_grad():
            return Stepped(before, network.state_dict(), network(inputs.to(prepared.dtype)))

    def our_step(name, rate=values["train.weights.rate"]):
        """The folder of our network after a step, for torch."""
        own = {**values, **STEP, "train.weights.rate": rate}
        run(SDAS, "train", what, *data.recipe, "--out", folder / name, "--weights", trained, *settings(own))
        run(SDAS, "export", folder / name, "--to", "pytorch", "-o", folder / f"{name}-torch")
        return folder / f"{name}-torch"

    def compare(weights, theirs):
        """Our step with torch's."""
        ours = module(model).read_safetensors(our_step("stepped") / "model.safetensors")
        assert set(ours) == {name for name in theirs.state if not name.endswith("num_batches_tracked")}

        def size(name):
            variances = theirs.state[name.replace("running_mean", "running_var")]
            return (variances if name.endswith("running_var") else variances.sqrt()).norm()

        with torch.no_grad():
            return {
                "step": Stepped(weights, ours, None).apart(theirs),
                "norms": largest((ours[name] - theirs.state[name]).norm() / size(name)
                                 for name in ours if name not in weights),
            }

    def compare_logits(moved):
        """Those after a step at a rate that moves them little, found in two steps: far off, they are no line of the rate."""
        rate = most = values["train.weights.rate"]
        for _ in range(2):
            rate = min(most, rate * MOVED / moved)
            theirs = stepped_in(copy.deepcopy(fresh), rate).logits
            moved = difference(theirs, logits)
        assert moved > MOVED / 2, moved
        ours = torch.hub.load(str(our_step("smaller", rate)), "sdas", source="local")
        exact = stepped_in(copy.deepcopy(before), rate).logits
        with torch.no_grad():
            return {"logits": difference(ours(inputs), theirs), "own logits": difference(theirs, exact)}

    row, fresh, before, weights = {}, copy.deepcopy(model), copy.deepcopy(model).double(), weights_of(model)
    with torch.no_grad():
        logits = model(inputs)
    theirs = stepped_in(model)
    row["moved"] = difference(theirs.logits, logits)
    exact = stepped_in(copy.deepcopy(before))
    moved = [stepped_in(move(copy.deepcopy(before), draw)) for draw in range(DRAWS)]
    row["own"] = largest(other.apart(exact) for other in moved)
    row.update(compare(weights, theirs))
    row.update(compare_logits(row["moved"]))
    with torch.no_grad():
        shares = theirs.logits.softmax(1).gather(1, truth[:, None]).clamp(min=torch.finfo(torch.float32).tiny)
        loss = -shares.double().log().mean().item()
    torch.save(theirs.state, folder / "more.pth")
    given = ["--weights", folder / "more.pth"]
    row["back"] = apart(theirs.logits, predicted(trained, data.test, given))
    measured = json.loads(run(SDAS, "eval", trained, *given, "--json"))["loss"]
    assert abs(measured - loss) < 1e-4, (measured, loss)
    return row


def check_streams(place):
    """A network of two streams, as a training would begin it: no recipe has both of its inputs in one sample."""
    folder = place / "two-streams"
    run(SDAS, "export", "two_stream", "--to", "pytorch", "-o", folder, "--width", "0.0625", "--classes", "7")
    model = torch.hub.load(str(folder), "sdas", source="local")
    inputs = torch.rand(2, *model.default_cfg["input_size"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert difference(torch.jit.script(model)(inputs), model(inputs)) <= 1e-5
        check_options(folder, model, inputs)


def main():
    global SDAS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=pathlib.Path, required=True)
    parser.add_argument("--clips", type=pathlib.Path, required=True)
    parser.add_argument("--sdas", type=pathlib.Path, default=pathlib.Path("target/release/sdas"))
    parser.add_argument("--only", default="", help="networks by the beginning of their names, separated by commas")
    parser.add_argument("--keep", type=pathlib.Path, help="a new folder, which is left as it is at the end")
    arguments = parser.parse_args()
    SDAS = arguments.sdas.resolve()
    warnings.simplefilter("ignore")
    only = tuple(arguments.only.split(",")) if arguments.only else ("",)
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.keep or pathlib.Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        check_streams(place)
        print("| network | " + " | ".join(COLUMNS) + " | seconds | KiB |\n|---|" + "---|" * (len(COLUMNS) + 2))
        worst, silent = 0.0, []
        for name in (name for name in NETWORKS if name.startswith(only)):
            row = check(name, place, {"pictures": arguments.pictures, "clips": arguments.clips})
            infinite = float("inf")
            limits = {"rounding": infinite, "own": infinite, "moved": infinite, "own logits": infinite, **LIMITS}
            if "own" in row:
                limits["step"] = max(LIMITS["step"], SPREAD * row["own"])
                silent += [] if limits["step"] <= TELLS else [name]
            shares = [row[column] / limits.get(column, 1e-5) for column in COLUMNS if column in row]
            # What is no number is as far off as can be.
            worst = max(worst, *(share if share == share else float("inf") for share in shares))
            numbers = [f"{row[column]:.1e}" if column in row else "" for column in COLUMNS]
            print(f"| {name} | {' | '.join(numbers)} | {row['seconds']:.2f} | {row['bytes'] / 1024:,.0f} |", flush=True)
    if worst > 1:
        raise SystemExit(f"a difference is {worst:.1f} times what it may be")
    if silent:
        raise SystemExit(f"rounding alone moves so much that a step tells nothing: {', '.join(silent)}")


if __name__ == "__main__":
    main()
