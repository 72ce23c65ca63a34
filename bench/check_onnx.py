#!/usr/bin/env python3
"""Holds exported ONNX models against the logits that sdas computes, with ONNX's checker and ONNX Runtime.

    bench/check_onnx.py cases [--networks]         what the tests leave: every layer, operation and setting; and with
                                                   --networks every network that people made (minutes)
    bench/check_onnx.py run RUN FILE…              a run's network on pictures or clips, which must have the size that the
                                                   network sees and all its frames: exported in every way, and asked by
                                                   `sdas predict`, by eval.clips = 1

Needs Python with numpy, onnx, onnxruntime and safetensors; for clips ffmpeg, for pictures Pillow. Build first: cargo build
--release. A difference is the largest between two logits, by the largest logit; for a run between logarithms of shares, less
their mean, which are the same as logits. Exits with 1 where one is above 1e-5 (1e-2 with numbers of 16 bits). For
the networks that people made it also prints how far our own logits are from those in double precision.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE, HALF = 1e-5, 1e-2


def session(path):
    """The model, after the checker has been through all of it."""
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def difference(ours, theirs):
    if ours.shape != theirs.shape:
        return float("inf")
    most = float(numpy.abs(ours - theirs).max())
    return most / float(numpy.abs(theirs).max()) if most else 0.0


def check_case(path):
    case, net = load_file(path.with_suffix(".safetensors")), session(path)
    name = net.get_inputs()[0].name
    start = time.perf_counter()
    whole = net.run(None, {name: case["x"]})[0]
    seconds = (time.perf_counter() - start) / len(case["x"])
    one = net.run(None, {name: case["x"][:1]})[0]
    differences = [difference(whole, case["logits"]), difference(one, case["logits"][:1])]
    if "x2" in case:  # Of another size.
        differences.append(difference(net.run(None, {name: case["x2"]})[0], case["logits2"]))
    # Unlike `max`, no number where one is none.
    most, size = float(numpy.max(differences)), path.stat().st_size
    row = {"name": path.stem, "difference": most, "bytes": size, "seconds": seconds, "rounding": 0.0}
    if "exact" in case:
        row["rounding"] = difference(case["logits"], case["exact"])
    return row


def cases(arguments):
    folder = pathlib.Path(os.environ.get("SDAS_ONNX_CASES", ROOT / "target/tmp/onnx"))
    test = ["cargo", "test", "--release", "--workspace", "--test", "export"]
    subprocess.run(test, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    folders = {"layers": TOLERANCE, "cells": TOLERANCE, "settings": TOLERANCE, "half": HALF}
    if arguments.networks:
        subprocess.run([*test, "--", "--ignored"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        folders["networks"] = TOLERANCE
    wrong = []
    for name, tolerance in folders.items():
        rows = []
        for path in sorted((folder / name).glob("*.onnx")):
            try:
                rows.append(check_case(path))
            except Exception as error:  # Whatever a runtime says; the others are looked at all the same.
                wrong.append(f"{path.stem}: {error}")
        wrong += [f"{row['name']}: {row['difference']:.1e}" for row in rows if not row["difference"] <= tolerance]
        worst = max(rows, key=lambda row: numpy.nan_to_num(row["difference"], nan=numpy.inf))
        print(f"{name}: {len(rows)} models, the largest difference {worst['difference']:.1e} ({worst['name']})")
        if name == "networks":
            for row in rows:
                print(
                    f"  {row['name']:24} {row['difference']:.1e}, ours from exact {row['rounding']:.1e}, "
                    f"{row['bytes']:>12,} bytes, {1e3 * row['seconds']:6.1f} ms a sample"
                )
    return wrong


def frames(path, extent, stride, stack):
    """The 8-bit frames of a picture or a clip, in steps [T, H, W, C] with the channels of a stack side by side, and each of
    them once."""
    count, height, width = extent
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm"):
        from PIL import Image

        picture = numpy.asarray(Image.open(path).convert("RGB"))[None]
        return picture, picture
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    raw = numpy.frombuffer(raw, numpy.uint8).reshape(-1, height, width, 3)
    # From the middle, as a single view is.
    start = (len(raw) - (count - 1) * stride - stack) // 2
    steps = [range(start + step * stride, start + step * stride + stack) for step in range(count)]
    seen = sorted({number for step in steps for number in step})
    return numpy.stack([numpy.concatenate([raw[number] for number in step], axis=-1) for step in steps]), raw[seen]


def logits(shares):
    logs = numpy.log(numpy.maximum(shares, 1e-38))
    return logs - logs.mean(axis=1, keepdims=True)


def run(arguments):
    sdas = str(ROOT / "target/release/sdas")
    asked = [sdas, "predict", arguments.run, *arguments.files, "--top", "1000000", "--json"]
    told = subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout
    predictions = [json.loads(line) for line in told.splitlines()]
    wrong = []
    ways = [[], ["--fold"], ["--external-data"], ["--with-preprocessing"], ["--half", "--fold"]]
    with tempfile.TemporaryDirectory() as place:
        for way in ways:
            path = pathlib.Path(place) / f"{''.join(way) or 'plain'}.onnx"
            export = [sdas, "export", arguments.run, "--to", "onnx", "-o", str(path), "--json", *way]
            exported = json.loads(subprocess.run(export, check=True, stdout=subprocess.PIPE).stdout)
            net, model = session(path), onnx.load(path, load_external_data=False)
            known = {entry.key: entry.value for entry in model.metadata_props}
            classes, extent = json.loads(known["sdas.classes"]), json.loads(known["sdas.size"])
            mean, std = (numpy.array(json.loads(known[f"sdas.{key}"])) for key in ("mean", "std"))
            ours = numpy.array([[dict(row["classes"])[name] for name in classes] for row in predictions])
            stride, stack = (int(known[f"sdas.{key}"]) for key in ("stride", "stack"))
            samples = [frames(pathlib.Path(file), extent, stride, stack) for file in arguments.files]
            pixels = numpy.stack([steps for steps, _ in samples])
            given = net.get_inputs()[0]
            if len(given.shape) == 4:
                pixels = pixels[:, 0]
            if given.name == "input":
                if known["sdas.normalization"] == "per_clip":
                    own = ([of(seen / 255, axis=(0, 1, 2)) for _, seen in samples] for of in (numpy.mean, numpy.std))
                    around = (len(pixels), *[1] * (pixels.ndim - 2), -1)
                    mean, std = (numpy.reshape(of, around) for of in own)
                mean, std = (numpy.tile(of, stack) for of in (mean, std))
                pixels = numpy.moveaxis((pixels / 255 - mean) / std, -1, 1).astype(numpy.float32)
            start = time.perf_counter()
            theirs = net.run(None, {given.name: pixels})[0].astype(numpy.float64)
            seconds = (time.perf_counter() - start) / len(pixels)
            if given.name == "input":
                theirs = numpy.exp(theirs - theirs.max(axis=1, keepdims=True))
                theirs /= theirs.sum(axis=1, keepdims=True)
            most = difference(logits(theirs), logits(ours))
            size = sum(file["bytes"] for file in exported["files"])
            name = " ".join(way) or "as it is"
            print(f"{name:24} {most:.1e} {size:>12,} bytes, written in {exported['seconds']:.2f} s, {1e3 * seconds:.2f} ms a sample")
            if not most <= (HALF if "--half" in way else TOLERANCE):
                wrong.append(f"{name}: {most:.1e}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    part = commands.add_parser("cases")
    part.add_argument("--networks", action="store_true")
    part.set_defaults(check=cases)
    part = commands.add_parser("run")
    part.add_argument("run")
    part.add_argument("files", nargs="+")
    part.set_defaults(check=run)
    arguments = parser.parse_args()
    wrong = arguments.check(arguments)
    print("\n".join(["", f"{len(wrong)} are wrong:", *wrong]) if wrong else "all agree")
    sys.exit(bool(wrong))


main()
