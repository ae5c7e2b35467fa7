"""A project folder with a tiny grid of the demo: one source, one target, seconds per run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CLI = [sys.executable, "-m", "catscans_lib.cli.main"]
RUNS = {
    "ingest/dtd", "ingest/chest", "pretrain/dtd", "transfer/none--chest", "transfer/dtd--chest", "evaluate/all",
    "stability/all", "feature_maps/chest", "overlaps/all", "similarity/chest", "transferability/all",
}  # fmt: skip


def grid():
    """Return a small part of the demo grid: dtd -> chest, 24 px, 3 folds, one or two epochs."""
    content = yaml.safe_load((ROOT / "params/demo.yaml").read_text())
    content["datasets"] = {key: {"size_px": 24, "n_images": 180} for key in ("dtd", "chest")}
    content["pretrain"]["sources"] = {"dtd": {"epochs": 1}}
    content["transfer"] |= {"targets": {"chest": {"max_images": 120}}, "modes": ["fine_tune", "linear_probe"]}
    for key in ("axes_sources", "seed_targets"):
        del content["transfer"][key]
    content["transfer"]["defaults"]["epochs"] = 2
    for block in ("pretrain", "transfer"):  # a run that is killed may have trained for a moment
        content[block]["defaults"]["checkpoint_minutes"] = 0
    content["similarity"] |= {"probe": "dtd", "n_images": 60, "seeds": [0]}
    return content


def project(folder: Path) -> Path:
    """Make the project."""
    for name in ("notebooks", "book"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "params").mkdir()
    write_grid(folder, grid())
    return folder


def write_grid(folder: Path, content: dict, profile: str = "demo") -> None:
    (folder / "params" / f"{profile}.yaml").write_text(yaml.safe_dump(content))


def catscans(folder: Path, *arguments: str, check: bool = False, **env: str) -> subprocess.CompletedProcess:
    """Run the command line in a project."""
    return subprocess.run(
        [*CLI, *arguments], env=environment(folder, **env), capture_output=True, text=True, check=check, cwd=folder
    )


def environment(folder: Path, **env: str) -> dict:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CATSCANS_")}
    return {**kept, "CATSCANS_ROOT": str(folder), **env}


def done(folder: Path, profile: str = "demo") -> dict[str, int]:
    """Return the finished runs, and when each was finished (ns)."""
    found = (folder / "results" / profile).glob("[!.]*/[!.]*/run.json")
    return {
        f"{path.parts[-3]}/{path.parts[-2]}": path.stat().st_mtime_ns for path in found if path.parts[-3] != "records"
    }
