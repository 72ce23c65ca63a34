#!/usr/bin/env python3
"""Compiles the CUDA C++ of every kernel and says the registers and spills of each. Needs no card and no driver.

    bench/kernels.py [--cuda DIR] [--sdas PATH] [--archs 80,90a] [--only PART] [--all]

NVRTC comes from its wheels: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-crt; DIR is their
folder nvidia/cu13, which is found by itself where this Python has them. Build first, for cards:
cargo build --release --features cuda. The program runs on a stand-in for the driver (no_card.c), which computes nothing, and
CubeCL's log has the source of what it would have compiled. A kernel of ours that spills registers is an error; with --all,
those of the tensor library are listed, too.
"""
import argparse
import ctypes
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SHORT = ["--set", "search.epochs=3", "--set", "search.alpha_warmup=0", "--set", "search.schedule={kind='linear',start=0.3,end=0.7}"]
PICTURES = ["--set", "data.shapes.train=200", "--set", "data.shapes.test=50"]
CLIPS = ["--set", "data.motion.train=64", "--set", "data.motion.test=32"]
TRAINED = ["--set", "train.epochs=1", "--set", "train.channels=12"]
# Between them, these launch every kernel: spaces of pictures and clips, all mixed, decided and pruned; networks that people
# made; sizes that are even and odd, and channels that vectors of 4, 2 and 1 divide.
WORK = {
    "image search": ["bench", "step", "--channels", "16", "--layers", "8", "--batch", "64"],
    "video search": ["bench", "step", "--channels", "8", "--layers", "5", "--batch", "16", "--size", "112", "--frames", "16"],
    "training": ["bench", "step", "darts_v2", "--channels", "36", "--layers", "20", "--batch", "96"],
    "nb201 search": ["bench", "step", "--space", "nb201", "--channels", "16", "--layers", "15", "--batch", "64"],
    "image search, odd": ["bench", "step", "--channels", "9", "--layers", "5", "--batch", "4", "--size", "27"],
    "shapes": ["search", "shapes", *SHORT, *PICTURES],
    "shapes, nb201": ["search", "shapes", "--set", "space.name=nb201", *SHORT, *PICTURES],
    "motion": ["search", "motion", *SHORT, *CLIPS],
    "resnet20": ["train", "resnet20", "shapes", *PICTURES, *TRAINED],
    "r2plus1d_18": ["train", "r2plus1d_18", "motion", *CLIPS, *TRAINED],
}
KERNEL = re.compile(r"\[START_KERNEL_COMPILATION\]\nname: (\S+)\nid: (.*?)\nsource:\n```cpp\n(.*?)```", re.S)
OURS = "sdas_kernels::gpu::kernels::"


def wheels():
    """The folder of CUDA 13 among this Python's packages."""
    spec = importlib.util.find_spec("nvidia")
    folders = [pathlib.Path(folder) / "cu13" for folder in spec.submodule_search_locations] if spec else []
    return next((folder for folder in folders if folder.is_dir()), None)


def written(arguments, arch):
    """The sources that the program writes for a card of this architecture, each with its name and what it is specialised for."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        log = folder / "kernels.log"
        (folder / "cubecl.toml").write_text(f'[compilation]\nlogger = {{ level = "full", file = "{log}", append = true }}\n')
        driver = folder / "libcuda.so.1"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", driver, pathlib.Path(__file__).parent / "no_card.c"], check=True)
        for name in ["libcuda.so", "libnvrtc.so"]:
            (folder / name).symlink_to(driver)
        capability = arch.rstrip("af")
        own = {"CUDA_PATH": str(arguments.cuda.resolve()), "LD_LIBRARY_PATH": str(folder), "NO_CARD_ARCH": capability}
        sdas = arguments.sdas.resolve()
        for name, work in WORK.items():
            if arguments.only in name:
                command = [sdas, *work, "--device", "cuda"]
                done = subprocess.run(command, cwd=folder, env=os.environ | own, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
        found = KERNEL.findall(log.read_text())
        return {source: (name, summary(about)) for name, about, source in found if arguments.all or name.startswith(OURS)}


def summary(about):
    """What a kernel was specialised for: numbers, what holds, and windows as kernel, dilation and stride."""
    about = re.sub(r"\s+", " ", about).partition("info: ")[2]
    window = r"kernel: \[ ([\d, ]+), \], dilation: \[ ([\d, ]+), \], stride: \[ ([\d, ]+), \]"
    windows = [tuple(side.replace(", ", "x") for side in sides) for sides in re.findall(window, about)]
    windows = [f"{kernel}/{dilation}/{stride}" for kernel, dilation, stride in windows if kernel != "0x0x0"]
    numbers = [f"{name} {value}" for name, value in re.findall(r"(\w+): (\d+),", about) if name != "count"]
    flags = re.findall(r"(\w+): true", about)
    return ", ".join(numbers + flags + windows)


def compiled(nvrtc, cuda, arch, source):
    """Registers, bytes spilled and bytes of the stack frame, as ptxas says. Shared memory is asked for at the launch."""
    options = [f"--gpu-architecture=sm_{arch}", f"--include-path={cuda}/include", f"--include-path={cuda}/include/cccl"]
    # As CubeCL compiles, and what makes ptxas speak.
    options = [option.encode() for option in [*options, "-lineinfo", "--ptxas-options=-v"]]
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None)
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    log = log.value.decode()
    if status:
        sys.exit(f"NVRTC refuses a kernel for sm_{arch}:\n{log}\n{source}")
    number = lambda pattern: sum(map(int, re.findall(pattern, log)))
    spills = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    return number(r"Used (\d+) registers"), spills, number(r"(\d+) bytes stack frame")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuda", type=pathlib.Path, default=wheels())
    parser.add_argument("--sdas", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "target/release/sdas")
    parser.add_argument("--archs", default="80,90a")
    parser.add_argument("--only", default="", help="take the kernels of the work whose name contains this")
    parser.add_argument("--all", action="store_true", help="list those of the tensor library, too")
    arguments = parser.parse_args()
    if arguments.cuda is None:
        sys.exit("no wheels of CUDA 13 here: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-crt")
    nvrtc = ctypes.CDLL(next((arguments.cuda / "lib").glob("libnvrtc.so.*")))
    spilling = 0
    for arch in arguments.archs.split(","):
        kernels = written(arguments, arch)
        print(f"sm_{arch}: {len(kernels)} kernels\nregisters  spilled   stack", flush=True)
        for source, (name, about) in sorted(kernels.items(), key=lambda item: item[1]):
            registers, spills, frame = compiled(nvrtc, arguments.cuda, arch, source)
            print(f"{registers:9} {spills:8} {frame:7}  {name.removeprefix(OURS)} {about}", flush=True)
            spilling += spills > 0 and name.startswith(OURS)
    if spilling:
        sys.exit(f"{spilling} kernels spill registers")


if __name__ == "__main__":
    main()
