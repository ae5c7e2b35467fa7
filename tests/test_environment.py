"""environment.yml (conda, Binder) lists what pyproject.toml does."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_environment_yml_lists_the_python_and_the_very_dependencies_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *others, pip = environment["dependencies"]
    assert project["requires-python"] == ">=3.11,<3.12" and others == ["python=3.11", "pip"]
    assert pip["pip"] == [*project["dependencies"], "-e ."]
