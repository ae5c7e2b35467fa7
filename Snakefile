# The sweep: every run of params/<profile>.yaml, each after the runs it needs. Started by `catscans sweep`.
# A run is done when its folder with run.json is in place (catscans_lib/runs/execute.py). The sweep marks exactly the runs that are
# up to date (catscans_lib/sweep/engine.py); Snakemake runs every unmarked run, and what reads it.
# Every step is a rule of its own, so that a cluster's profile can set its resources (set-resources).
import functools
import os
import sys
from pathlib import Path

from catscans_lib.grid import expand, profiles, steps
from catscans_lib.runs import forks
from catscans_lib.sweep import stopping

stopping.install()
PROFILE = config["profile"]
RUNS = expand.grid(PROFILE)
STEPS = list(dict.fromkeys(run.step for run in RUNS.values()))
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # contains catscans
RUN = (
    "OMP_NUM_THREADS={threads} CATSCANS_MINUTES={resources.runtime} "
    f"{'python -m catscans_lib.runs.forks' if os.environ.get(forks.VARIABLE) else 'catscans'} run "
    "{params.key} --profile {config[profile]} --planned .snakemake/{config[profile]}.planned.json"
)


def done(key):
    """The mark of a run, its only output for Snakemake, which deletes the outputs of failed jobs: run.json must stay."""
    return f"results/{PROFILE}/{key}/.done"


def of(step):
    """The planned run of a job of a step's rule."""
    return lambda wildcards: RUNS[f"{step}/{wildcards.name}"]


def needs(step):
    """The marks of the runs that a run needs."""
    return lambda wildcards: [done(key) for key in of(step)(wildcards).needs]


def asked(step):
    """The resources of a step's runs; 0 minutes: no limit."""
    rows = profiles.resources(PROFILE, step)
    return {"mem_mb": rows.memory_mb, "runtime": rows.minutes or 0} | ({"gpu": rows.gpus} if rows.gpus else {})


@functools.cache  # reading the profile for each of thousands of runs takes minutes
def threads(step, given):
    return profiles.threads(PROFILE, step, {"threads": given})


def threads_of(step):
    return lambda wildcards: threads(step, getattr(of(step)(wildcards).settings, "threads", None))


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
        threads: threads_of(step)
        priority: steps.STEPS[step].seconds  # the longest runs first: the last ones keep all cores busy
        resources: **asked(step)
        retries: 1
        shell: RUN
