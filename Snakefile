# The sweep: every run of params/<profile>.yaml, each after the runs it needs. Started by `catscans sweep`.
# A run is done when its folder with run.json has taken its place (catscans_lib/runner.py); Snakemake decides what
# to do again: a run whose parameters, code or inputs have changed, and what depends on it.
import json
import os
import sys
from pathlib import Path

from catscans_lib import params, paths, provenance

PROFILE = config["profile"]
RUNS = params.grid(PROFILE)
CODE = {step: provenance.code_fingerprint(step) for step in {run.step for run in RUNS.values()}}
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where catscans is


def record(key):
    return f"results/{PROFILE}/{key}/run.json"


def read_from(run):
    """The folders a run reads native files and weights from: other folders, other results."""
    native = getattr(run.settings, "data", None) == "native"
    return [os.environ.get("CATSCANS_DATA") if native else None, os.environ.get("CATSCANS_WEIGHTS") if getattr(run.settings, "weights", None) else None]


rule all:
    input: [record(key) for key in RUNS]


for run in RUNS.values():
    rule:
        name: run.key.replace("/", "__").replace("--", "__to__")
        input: [record(key) for key in run.needs]
        output: record(run.key)
        params:
            key=run.key,
            settings=json.dumps(run.parameters, sort_keys=True),
            code=CODE[run.step],
            folders=read_from(run),
        threads: 1
        retries: 1
        shell: "OMP_NUM_THREADS={threads} catscans run {params.key} --profile {config[profile]} --parameters {params.settings:q}"
