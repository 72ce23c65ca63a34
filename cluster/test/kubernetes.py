"""Checks cluster/kubernetes.yaml without a cluster: by Kubernetes' own schema, and by running what its pods would run, with
the variable that Kubernetes sets, as many side by side as it says, on tiny pictures.

    pip install kubernetes-validate
    python cluster/test/kubernetes.py [PROGRAM]
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
# The first in which nothing of the manifest is a beta any more, and the first that has all of it.
VERSIONS = ["1.33", "1.29"]
TINY = """data.shapes.train=80 data.shapes.test=30 data.size=16 search.epochs=2 search.channels=2 search.cells=3
    search.batch=10 search.alpha_warmup=0 train.epochs=1 train.channels=2 train.cells=3 train.batch=10""".split()


def check_schema(documents):
    for document in documents:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    # The check can fail.
    job = json.loads(json.dumps(documents[-1]))
    job["spec"]["completion"] = job["spec"].pop("completions")
    try:
        kubernetes_validate.validate(job, VERSIONS[0], strict=True)
    except kubernetes_validate.ValidationError:
        return
    raise AssertionError("a misspelt key passes")


def run_pods(job, program, place):
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    arguments = [argument.replace(mount["mountPath"], str(place)) for argument in container["args"]]
    arguments += [word for setting in TINY for word in ("--set", setting)]
    part = arguments.index("--part")
    listed = subprocess.run(
        [program, *arguments[:part], *arguments[part + 2 :], "--list"], check=True, capture_output=True, text=True
    )
    parts = listed.stdout.splitlines()
    assert len(parts) == spec["completions"], f"{spec['completions']} completions, but the comparison has\n{listed.stdout}"

    def run(index):
        environment = {"PATH": os.environ["PATH"], "JOB_COMPLETION_INDEX": str(index)}
        return subprocess.run([program, *arguments], env=environment, capture_output=True, text=True)

    with ThreadPoolExecutor(spec["parallelism"]) as pods:
        for index, pod in enumerate(pods.map(run, range(spec["completions"]))):
            assert pod.returncode == 0, f"index {index}: status {pod.returncode}\n{pod.stderr}"
    (out,) = place.iterdir()
    runs = json.loads((out / "compare.json").read_text())["runs"]
    assert len(runs) == spec["completions"], f"{len(runs)} runs in compare.json"
    # As pods that would begin again: all is done.
    again = run(0)
    assert again.returncode == 0 and ": search" not in again.stderr, again.stderr


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/sdas").resolve()
    documents = list(yaml.safe_load_all((ROOT / "cluster/kubernetes.yaml").read_text()))
    check_schema(documents)
    with tempfile.TemporaryDirectory() as place:
        run_pods(documents[-1], program, Path(place))
    print("as expected")


main()
