# The sweep: every run of params/<profile>.yaml, each after the runs it needs. Started by `catscans sweep`.
# A run is done when its folder with run.json has taken its place (catscans_lib/runner.py); Snakemake decides what to
# look at again: a run whose parameters, code or inputs have changed, and what depends on it.
import json
import os
import sys
from pathlib import Path

from catscans_lib import params, paths, provenance

PROFILE = config["profile"]
RUNS = params.grid(PROFILE)
CODE = {step: provenance.code_fingerprint(step) for step in {run.step for run in RUNS.values()}}
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where catscans is


def done(key):
    """A mark beside the results: Snakemake deletes the output of a job it sees fail, and run.json must never go."""
    return f"results/{PROFILE}/{key}/.done"


rule all:
    input: [done(key) for key in RUNS]


for run in RUNS.values():
    rule:
        name: run.key.replace("/", "__").replace("--", "__to__")
        input: [done(key) for key in run.needs]
        output: touch(done(run.key))
        params:
            key=run.key,
            planned=json.dumps({"parameters": run.parameters, "needs": run.needs}, sort_keys=True),
            code=CODE[run.step],
            inputs=run.inputs,
        threads: run.parameters.get("threads", 1) or os.cpu_count()
        retries: 1
        shell: "OMP_NUM_THREADS={threads} catscans run {params.key} --profile {config[profile]} --planned {params.planned:q}"
