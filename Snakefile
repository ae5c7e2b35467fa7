# The sweep: every run of params/<profile>.yaml, each after the runs it needs. Started by `catscans sweep`.
# A run is done when its folder with run.json has taken its place (catscans_lib/runs/execute.py). The sweep marks the runs that are up to
# date and takes the marks of all others away (catscans_lib/sweep/engine.py); Snakemake makes what has no mark, and what depends on it.
# One rule per step, named as the step, so that a cluster's profile can say what each needs (set-resources).
import json
import os
import sys
from pathlib import Path

from catscans_lib import paths
from catscans_lib.grid import expand, profiles

PROFILE = config["profile"]
RUNS = expand.grid(PROFILE)
STEPS = list(dict.fromkeys(run.step for run in RUNS.values()))
N_FOLDS = profiles.load(PROFILE).folds.n_folds
FOLDS_PER_JOB = int(config.get("folds_per_job") or N_FOLDS)  # fewer than there are: the folds of a transfer become jobs
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where catscans is
RUN = (
    "OMP_NUM_THREADS={threads} CATSCANS_MINUTES={resources.runtime} "
    "catscans run {params.key} --profile {config[profile]} --planned {params.planned:q}"
)


def done(key):
    """A mark beside the results: Snakemake deletes the output of a job it sees fail, and run.json must never go."""
    return f"results/{PROFILE}/{key}/.done"


def of(step):
    """The run that a job of a step's rule is about."""
    return lambda wildcards: RUNS[f"{step}/{wildcards.name}"]


def planned(run):
    return json.dumps({"parameters": run.parameters, "needs": run.needs}, sort_keys=True)


def needs(step):
    """The marks of what a run needs, and of its folds where they are jobs of their own."""
    return lambda wildcards: [done(key) for key in of(step)(wildcards).needs] + folds_of(step, wildcards.name)


def folds_of(step, name):
    if step != "transfer" or FOLDS_PER_JOB >= N_FOLDS or not RUNS[f"{step}/{name}"].settings.fine_tunes:
        return []
    parts = range(1, N_FOLDS + 1, FOLDS_PER_JOB)
    return [f"results/{PROFILE}/transfer/.{name}.fold-{first}" for first in parts]


def asked(step):
    """What a step's runs ask for; 0 minutes and 0 GPUs are none."""
    rows = profiles.resources(PROFILE, step)
    return {"mem_mb": rows.memory_mb, "runtime": rows.minutes or 0} | ({"gpu": rows.gpus} if rows.gpus else {})


def threads_of(step):
    cores = profiles.resources(PROFILE, step).threads or os.cpu_count()
    return lambda wildcards: of(step)(wildcards).parameters.get("threads", 1) or cores


rule all:
    input: [done(key) for key in RUNS]


for step in STEPS:
    rule:
        name: step
        input: needs(step)
        output: touch(f"results/{PROFILE}/{step}/{{name}}/.done")
        wildcard_constraints: name="[^/]+"
        params:
            key=f"{step}/{{name}}",
            planned=lambda wildcards, run=of(step): planned(run(wildcards)),
        threads: threads_of(step)
        resources: **asked(step)
        retries: 1
        shell: RUN


rule folds:  # trains some folds of a transfer ahead; its run finds them in its checkpoint
    input: lambda wildcards: [done(key) for key in of("transfer")(wildcards).needs]
    output: temp(touch(f"results/{PROFILE}/transfer/.{{name}}.fold-{{first}}"))
    wildcard_constraints: name="[^/]+", first="[0-9]+"
    params:
        key="transfer/{name}",
        planned=lambda wildcards: planned(of("transfer")(wildcards)),
        n=FOLDS_PER_JOB,
    threads: threads_of("transfer")
    resources: **asked("transfer")
    retries: 1
    shell: RUN + " --folds {wildcards.first} {params.n}"
