"""Committed notebooks hold no outputs, short cells, and the parameters the sweep passes (see test_params)."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from catscans_lib.errors import InputError
from catscans_lib.grid import notebook_parameters

PLAY = "reanalysis"  # for `make lab`: it reads what the steps have made, and is none itself
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook_for_every_step():
    from catscans_lib.grid.steps import STEPS

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
            assert "def " not in cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_plain_reader_sees_what_nbformat_sees(path):
    cells = nbformat.read(path, as_version=4).cells
    assert notebook_parameters.cells(path) == [
        (cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in cells
    ]


def test_what_is_no_notebook_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CATSCANS_ROOT", str(tmp_path))
    path = tmp_path / "a.ipynb"
    with pytest.raises(InputError, match=r"No notebook at a\.ipynb"):
        notebook_parameters.cells(path)
    for text in ("{", "[]", '{"worksheets": []}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.ipynb is no notebook of format 4"):
            notebook_parameters.cells(path)
    path.write_text('{"cells": []}')
    with pytest.raises(InputError, match="has no cell tagged 'parameters'"):
        notebook_parameters.parameters(path)
