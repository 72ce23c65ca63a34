"""Writes flow.safetensors: what OpenCV's DualTVL1OpticalFlow makes of synthetic frame pairs.

    python make_flow.py       # needs opencv-contrib-python-headless, numpy, safetensors; written by OpenCV 5.0.0

'NAME.a', 'NAME.b': 8-bit gray frames [H, W]. 'NAME.flow': [2, H, W], x then y, in pixels, from a to b.
Settings other than OpenCV's defaults are in the metadata, as JSON: {NAME: {SETTING: VALUE}}.
"""
import json
import os

import cv2
import numpy as np
from safetensors.numpy import save_file

rng = np.random.default_rng(3)
out, settings = {}, {}


def texture(sigma):
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (140, 300)).astype(np.float32), (0, 0), sigma)
    return cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)


def view(picture, size, motion=lambda x, y: (x, y)):
    """What lies at motion(x, y) of the picture, 20 pixels of which are kept as a border."""
    y, x = np.mgrid[0:size[0], 0:size[1]].astype(np.float32)
    x, y = motion(x, y)
    return cv2.remap(picture, (x + 20).astype(np.float32), (y + 20).astype(np.float32), cv2.INTER_CUBIC)


def add(name, a, b, **changes):
    tvl1 = cv2.optflow.DualTVL1OpticalFlow_create()
    names = {"scales": "ScalesNumber", "scale_step": "ScaleStep", "warps": "WarpingsNumber", "median": "MedianFiltering",
             "outer_iterations": "OuterIterations", "inner_iterations": "InnerIterations"}
    for key, value in changes.items():
        getattr(tvl1, "set" + names.get(key, key.capitalize()))(value)
    a, b = (np.clip(frame, 0, 255).astype(np.uint8) for frame in (a, b))
    out[name + ".a"], out[name + ".b"] = a, b
    out[name + ".flow"] = np.ascontiguousarray(tvl1.calc(a, b, None).transpose(2, 0, 1))
    settings[name] = changes
    print(name, "mean length", np.hypot(*out[name + ".flow"]).mean())


# Everything 2.5 to the right and 1.25 upwards.
ground = texture(2.0)
add("shift", view(ground, (96, 128)), view(ground, (96, 128), lambda x, y: (x - 2.5, y + 1.25)))

# A disc 3 to the left and 2 downwards before a ground that moves a little; both frames with noise of their own.
disc = texture(1.5)
y, x = np.mgrid[0:75, 0:101]
noisy = lambda frame: frame + rng.normal(0, 2, frame.shape)
scene = (
    noisy(np.where(np.hypot(x - 50, y - 35) < 20, view(disc, (75, 101)), 0.7 * view(ground, (75, 101)))),
    noisy(np.where(np.hypot(x - 47, y - 37) < 20, view(disc, (75, 101), lambda x, y: (x + 3, y - 2)),
                   0.7 * view(ground, (75, 101), lambda x, y: (x - 0.7, y + 0.4)))),
)
add("scene", *scene)
add("scene_settings", *scene, tau=0.2, **{"lambda": 0.3}, theta=0.25, scales=3, scale_step=0.6, warps=3, epsilon=0.02,
    outer_iterations=2, inner_iterations=10, median=3)

# Too low for more than one scale; turned by 0.03 about a corner.
add("low", view(ground, (18, 160)), view(ground, (18, 160), lambda x, y: (x + 0.03 * y, y - 0.03 * x)))

# A bright square on nothing at all.
flat = lambda left: np.pad(np.full((12, 12), 200.0), ((20, 32), (left, 52 - left)))
add("flat", flat(20), flat(21))

here = os.path.dirname(os.path.abspath(__file__))
save_file(out, os.path.join(here, "flow.safetensors"), {"settings": json.dumps(settings), "opencv": cv2.__version__})
