"""The plan of a sweep: runs by kind, how many are done, what the others are expected to cost, and what that rests on."""

from catscans_lib.grid import expand
from catscans_lib.sweep import costs, failures


def text(
    profile: str, runs: dict[str, expand.PlannedRun], done: list[str], chosen: list[str], *, with_gpu: bool
) -> str:
    """Return the plan as it is printed.

    Parameters
    ----------
    runs : dict of Run
        The grid.
    done, chosen : list of str
        Keys of the runs that are up to date; of those that the sweep is about, with all they need.
    with_gpu : bool
        Whether runs that ask for a GPU get one.
    """
    waiting = [key for key in chosen if key not in set(done)]
    of_all = f"{len(chosen)} of " if len(chosen) < len(runs) else ""
    head = f"params/{profile}.yaml: {of_all}{len(runs)} runs, {len(chosen) - len(waiting)} done, {len(waiting)} to run"
    if not waiting:
        return head
    tell = costs.estimator(profile, with_gpu=with_gpu)
    expected = {key: tell(runs[key]) for key in waiting}
    which = [f"  to run: {failures.named(waiting)}"] if len(waiting) < len(chosen) else []
    return "\n".join([head, *_table(runs, chosen, expected), *which, *_total(expected)])


def _table(runs: dict[str, expand.PlannedRun], chosen: list[str], expected: dict[str, costs.Cost]) -> list[str]:
    lines = [f"  {'step':16}{'runs':>6}{'done':>6}{'to run':>8}{'time':>11}"]
    for step in dict.fromkeys(runs[key].step for key in chosen):
        here = [key for key in chosen if runs[key].step == step]
        todo = [expected[key] for key in here if key in expected]
        lines.append(f"  {step:16}{len(here):>6}{len(here) - len(todo):>6}{len(todo):>8}{_time(todo):>11}")
    return lines


def _time(some: list[costs.Cost]) -> str:
    """Sum of what is known; a + where some are not, ? where none is."""
    if not some:
        return "-"
    known = [cost.seconds for cost in some if cost.seconds is not None]
    total = sum(known)
    told = f"{total / 3600:,.1f} h" if total >= 3600 else f"{total / 60:.1f} min"
    return "?" if not known else told + ("+" if len(known) < len(some) else "")


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _total(expected: dict[str, costs.Cost]) -> list[str]:
    some = list(expected.values())
    on_gpu, on_cpu = [c for c in some if c.on_gpu], [c for c in some if not c.on_gpu]
    times = [f"{_time(part)} of {kind} time" for part, kind in ((on_gpu, "GPU"), (on_cpu, "CPU")) if part]
    rests: dict[str, None] = dict.fromkeys(cost.rests_on for cost in some)
    return [
        f"  expected: {' and '.join(times)} one after the other, {_size(sum(c.n_bytes for c in some))} on disk",
        f"  rests on: {'; '.join(rests)}",
    ]
