#!/usr/bin/env python3
"""Reads what `sdas tensorboard`, or a run with `run.tensorboard = true`, wrote, with TensorBoard itself, beside the run.

    bench/check_tensorboard.py RUN EVENTS

EVENTS is the folder with the run's event file. Every scalar is compared with metrics.jsonl, every mixture with cells.jsonl,
the pictures with the steps of decisions.jsonl and their own sizes, the hyperparameters with config.toml. Needs Python with
tensorboard.
"""
import json
import pathlib
import struct
import sys
import tomllib

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

SCALARS = {"loss/training": "train_loss", "loss/held out": "validation_loss", "accuracy/training": "train_accuracy",
           "accuracy/held out": "validation_accuracy", "cost/seconds an epoch": "seconds",
           "cost/seconds a step": "seconds_per_step", "cost/parameters": "parameters",
           "cost/multiply-adds": "multiply_adds", "weights/rate": "rate", "weights/gradient norm": "gradient_norm"}
BY_KIND = {"alpha/decided": "decided", "alpha/entropy": "alpha_entropy", "alpha/skips": "skips", "alpha/pools": "pools"}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main():
    run, events = (pathlib.Path(argument) for argument in sys.argv[1:3])
    told = EventAccumulator(str(events), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    told.Reload()
    tags = told.Tags()
    metrics, cells, decisions = (lines(run / f"{name}.jsonl") for name in ["metrics", "cells", "decisions"])
    compared = 0

    def same(tag, expected):
        nonlocal compared
        own = [(event.step, event.value) for event in told.Scalars(tag)] if expected else []
        assert len(own) == len(expected), f"{tag}: {len(own)} for {len(expected)}"
        for (step, value), (other_step, other) in zip(own, expected):
            assert step == other_step and abs(value - other) <= 1e-6 * max(1, abs(other)), f"{tag}: {value} for {other}"
        assert bool(expected) == (tag in tags["scalars"]), tag
        compared += len(own)

    for tag, key in SCALARS.items():
        same(tag, [(line["step"], line[key]) for line in metrics if line[key] is not None])
    for tag, key in BY_KIND.items():
        for index, kind in enumerate(["normal", "reduction"]):
            numbers = [(line["step"], line[key]) for line in metrics if line[key]]
            same(f"{tag} {kind}", [(step, all_[index]) for step, all_ in numbers if index < len(all_)])
    same("cost/memory MiB", [(line["step"], line["memory"] / 2**20) for line in metrics if line["memory"] is not None])

    mixed = sum(bool(mix) for line in cells for kind in line.get("mixes", []) for mix in kind)
    bars = [event for tag in tags["histograms"] if tag.startswith("mixture ") for event in told.Histograms(tag)]
    assert len(bars) == mixed, f"{len(bars)} mixtures for {mixed}"
    for event in bars:
        assert abs(sum(event.histogram_value.bucket) - 1) < 1e-3, "a mixture adds up to 1"

    steps = sorted({line["step"] for line in decisions})
    pictures = told.Images("cell") if steps else []
    assert [picture.step for picture in pictures] == steps, "a picture for each step with decisions"
    for picture in pictures:
        assert picture.encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", picture.encoded_image_string[16:24]) == (picture.width, picture.height)

    content = told.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    recipe = tomllib.loads((run / "config.toml").read_text())
    for section in ["search", "train"]:
        for key, value in recipe[section].items():
            if isinstance(value, (bool, int, float)):
                own = start.hparams[f"{section}.{key}"]
                own = own.bool_value if isinstance(value, bool) else own.number_value
                assert own == value, f"{section}.{key}: {own} for {value}"
    ended = "_hparams_/session_end_info" in told.summary_metadata
    assert ended == (run / "result.json").exists(), "a run that has ended says so"
    text = tensor_util.make_ndarray(told.Tensors("recipe")[0].tensor_proto).item().decode()
    assert (run / "config.toml").read_text() in text
    print(f"{events}: {compared} scalars, {len(bars)} mixtures, {len(pictures)} pictures, {len(start.hparams)} "
          f"hyperparameters: as the run has them")


if __name__ == "__main__":
    main()
