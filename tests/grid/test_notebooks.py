"""Committed notebooks: no outputs, short cells, and a step for each."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from catscans_lib import paths
from catscans_lib.errors import InputError
from catscans_lib.grid import expand
from catscans_lib.grid.steps import STEPS
from catscans_lib.runs import code_scope

PLAY = "reanalysis"  # for `make lab`: it reads the results of the steps; its functions are there to be changed
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook_for_every_step():
    assert {path.stem for path in NOTEBOOKS} == {*STEPS, PLAY}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nbstripout_finds_nothing_to_remove(path):
    result = subprocess.run([sys.executable, "-m", "nbstripout", "--verify", str(path)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_define_nothing_and_every_one_is_introduced(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            assert len(cell.source.splitlines()) <= 16
            assert "def " not in cell.source or path.stem == PLAY


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
def test_a_step_reads_the_cells_that_nbformat_reads(step):
    cells = nbformat.read(paths.notebook_path(step.name), as_version=4).cells
    assert step.cells() == [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in cells]


def test_a_file_that_is_no_notebook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    path, step = tmp_path / "notebooks/ingest.ipynb", STEPS["ingest"]
    with pytest.raises(InputError, match=r"No notebook at notebooks/ingest\.ipynb"):
        step.cells()
    path.parent.mkdir()
    for text in ("{", "[]", '{"worksheets": []}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"ingest\.ipynb is no notebook of format 4"):
            step.cells()
    path.write_text('{"cells": []}')
    with pytest.raises(InputError, match="has no cell tagged 'parameters'"):
        step.parameters()


MAGICS = {
    "%matplotlib inline\nx = 1": None,
    "!ls\nx = (": "that is not Python",
    "%%bash\nls": None,
    "await f()": None,
    "x =": "line 1: x =",
}


@pytest.mark.parametrize("cell", MAGICS)
def test_magics_are_understood_and_a_cell_that_is_not_python_is_named(cell, project):
    path = paths.notebook_path("stability")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(cell))
    nbformat.write(notebook, path)
    if message := MAGICS[cell]:
        with pytest.raises(InputError, match=f"notebooks/stability.ipynb has a cell .*{message}"):
            expand.grid("demo")
    else:
        expand.grid("demo")
        code_scope.parsed(STEPS["stability"].code(), "notebook")
