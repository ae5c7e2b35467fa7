"""The recipes of CONTRIBUTING.md work, and the files they name are all one has to touch."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny

RECIPES = tiny.ROOT / "CONTRIBUTING.md"
CARD = """
moles:
  title: Moles
  modality: photographs of skin
  classes: [benign, malignant]
  n_images: 40
  licence: CC0
  url: https://example.org
  citation: cheplygina2019
  reader: layouts.read_folders
  places: [moles]
"""
WRITER = """
def write_moles(data_dir):
    for number, label in enumerate(("benign", "malignant")):
        for image in range(20):
            save(data_dir / f"moles/{label}/{label}_{image}.png", 100 * number + image)


WRITERS["moles"] = write_moles
"""
MEASURE = '''

def majority_share(labels: ArrayLike) -> float:
    """Share of the largest class among the target's images, in (0, 1]."""
    return float(np.bincount(labels).max() / len(labels))


MEASURES = (
    *MEASURES,
    Measure(
        name="majority_share", title="share of the largest class", function=majority_share, arguments=("labels",),
        larger_is_closer=True, range=(0, 1), cost="O(n)", reference="an example", why="an example",
        blind_to="everything but the labels",
    ),
)  # fmt: skip
'''
STEP = '''

class Inventory(Strict):
    """Parameters of `inventory.ipynb`."""

    profile: str


def _inventory(profile: Profile) -> Iterable[Row]:
    yield Row({}, "datasets", ())


STEPS["inventory"] = Step("inventory", Inventory, "all", _inventory, seconds=1.0, has_figures=False)
'''


def files_of(recipe, **placeholders):
    """The files that a recipe of CONTRIBUTING.md names first in each of its numbered lines."""
    section = RECIPES.read_text().split(f"\n### {recipe}\n")[1].split("\n#")[0]
    named = re.findall(r"^\d\. `([^`]+)`", section, flags=re.M)
    for name, value in placeholders.items():
        named = [path.replace(f"<{name}>", value) for path in named]
    return named


@pytest.fixture
def project(tmp_path):
    """A copy of the project, as a new developer clones it."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "results", "data", "_build", "*.egg-info")
    shutil.copytree(tiny.ROOT, folder, ignore=ignored)
    return folder


def python(project, *arguments, **env):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, capture_output=True, text=True, check=False,
        env=tiny.environment(project, PYTHONPATH=str(project), **env),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def append(path, text):
    path.write_text((path.read_text() if path.is_file() else "") + text)


def test_every_recipe_names_at_most_three_files_and_they_exist():
    recipes = re.findall(r"^### (.+)$", RECIPES.read_text(), flags=re.M)
    assert len(recipes) == 10
    for recipe in recipes:
        named = files_of(recipe)
        assert 1 < len(named) <= 3
        assert all("<" in path or (tiny.ROOT / path).is_file() for path in named), recipe


def test_a_dataset_is_added_by_its_recipe(project):
    cards, fixtures = (project / path for path in files_of("A dataset"))
    append(cards, CARD)
    append(fixtures, WRITER)
    tests = "tests/datasets/test_contract.py::test_native_layout[moles]"
    assert "1 passed" in python(project, "-m", "pytest", "-p", "no:cacheprovider", tests)


def test_a_measure_is_added_by_its_recipe(project):
    family, tests = (project / path for path in files_of("A measure of similarity", family="label_based"))
    append(family, MEASURE)
    append(
        tests,
        "\n\ndef test_the_majority_share_of_three_to_one():\n"
        "    from catscans_lib.similarity import registry\n"
        "    from catscans_lib.similarity.measure import Inputs\n\n"
        '    assert registry.get("majority_share").compute(Inputs(labels=np.array([0, 1, 1, 1]))) == 0.75\n',
    )
    new_test = f"{tests.relative_to(project)}::test_the_majority_share_of_three_to_one"
    assert "1 passed" in python(project, "-m", "pytest", "-p", "no:cacheprovider", new_test)


def test_a_step_is_added_by_its_recipe(project):
    notebook, steps, params = (project / path for path in files_of("A step of the sweep", step="inventory"))
    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    begin = (
        "import pandas as pd\n\nfrom catscans_lib.grid import profiles\nfrom catscans_lib.runs import in_notebook\n\n"
        'run = in_notebook.start("inventory", profile=profile)'
    )
    end = (
        'run.save_table("inventory", pd.DataFrame({"dataset": sorted(profiles.load(profile).datasets)}))\nrun.finish()'
    )
    parameters = code('profile = "demo"  # grid in params/<profile>.yaml', metadata={"tags": ["parameters"]})
    cells = [text("# How many datasets does a profile have?"), parameters, code(begin), code(end)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), notebook)
    append(steps, STEP)
    append(params, "resources: {inventory: {memory_mb: 500}}\n")
    said = python(project, "-m", "catscans_lib.cli.main", "sweep", "--profile", "demo", "inventory/all")
    table = project / "results/demo/inventory/all/inventory.csv"
    assert table.read_text().split()[:2] == ["dataset", "chest"], said
    record = json.loads((project / "results/demo/inventory/all/run.json").read_text())
    assert record["status"] == "completed"
    assert Path(project / "results/demo/inventory/all/inventory.ipynb").is_file()
