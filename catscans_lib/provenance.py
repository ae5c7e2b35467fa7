"""What a result came from: the code behind a step, the commit, the versions of what was installed."""

import ast
import hashlib
import json
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from catscans_lib import notebooks, params, paths, results

PACKAGES = (
    "numpy",
    "pandas",
    "scikit-learn",
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "jax",
    "h5py",
    "pillow",
    "papermill",
)
LONG_STEPS = ("ingest", "pretrain", "transfer")


def fingerprint(*parts: object) -> str:
    """Return 12 hexadecimal digits that change when any part (plain values) does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def recipe(planned: params.Run, profile: str) -> str:
    """Return the fingerprint of all that a run's result follows from: settings, code, the runs, folders and cards it reads."""
    inputs = {key: results.record(profile, key)["run_id"] for key in planned.needs}
    return fingerprint(planned.parameters, code_fingerprint(planned.step), inputs, planned.inputs)


def is_current(planned: params.Run, profile: str) -> bool:
    """Return whether a run is there, made from the recipe it would be made from now."""
    if not all(results.is_done(profile, key) for key in (planned.key, *planned.needs)):
        return False
    return results.record(profile, planned.key).get("recipe") == recipe(planned, profile)


def current(profile: str, runs: dict[str, params.Run]) -> list[str]:
    """Return the keys of the runs that are current, and all runs they need with them; `runs` in the grid's order."""
    found: list[str] = []
    for key, run in runs.items():
        if all(need in found for need in run.needs) and is_current(run, profile):
            found.append(key)
    return found


def code_fingerprint(step: str) -> str:
    """Return the fingerprint of a step's notebook and of every library module it reaches.

    Comments, docstrings and layout do not count: what a sweep has made stays valid when only they change. Nor does how
    figures look count for the steps that take long: nobody trains a network anew for another colour.
    """
    cells = notebooks.cells(paths.notebook_path(step))
    code = "\n".join(source for kind, source, _ in cells if kind == "code")
    library = Path(__file__).parent
    meanings = {str(path.relative_to(library)): _meaning(path) for path in sorted(_reached(code))}
    if step in LONG_STEPS:
        meanings = {name: meaning for name, meaning in meanings.items() if not name.startswith("figures/")}
    return fingerprint([source for _, source, _ in cells], meanings)


def _reached(code: str) -> set[Path]:
    """Files of the library that `code` imports, directly or through each other."""
    found: set[Path] = set()
    waiting = list(_imported(ast.parse(code)))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return found


def _imported(tree: ast.AST) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {path for name in names if (path := _library_file(name))}


def _library_file(name: str) -> Path | None:
    library = Path(__file__).parent
    first, *rest = name.split(".")
    if first != library.name or not rest:
        return None
    module = library.joinpath(*rest)
    candidates = (module.with_suffix(".py"), module / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _imports(path: Path) -> set[Path]:
    return _imported(ast.parse(path.read_text()))


@cache
def _meaning(path: Path) -> str:
    """The syntax tree without docstrings, as text."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)


def commit() -> str:
    """Return the git commit of the project's folder, with `+changes` where files differ from it; "" outside git."""

    def git(*arguments: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(paths.root()), *arguments], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip() if answer.returncode == 0 else ""

    try:
        head = git("rev-parse", "HEAD")
        return head + ("+changes" if head and git("status", "--porcelain", "--untracked-files=no") else "")
    except FileNotFoundError:  # git is not installed
        return ""


def versions() -> dict[str, str]:
    """Return the installed version of each package a result depends on."""
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    return {name: installed[name] for name in PACKAGES if name in installed}
