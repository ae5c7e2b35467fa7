"""Whatever a person writes into a file of `params/` is a valid grid or one message: no other error, and no quiet guess."""

import copy
import math

import pytest
import tiny

from catscans_lib.errors import InputError, read_yaml
from catscans_lib.grid import expand, profiles
from catscans_lib.grid.steps import STEPS

WRONG = (
    None, "", "x", "0480", -1, 0, 1, 2.5, math.nan, math.inf, 10**30, True,
    [], [1], [1, 1], ["x"], [None], [[1]], [{}], {}, {"a": 1}, {"a": None},
)  # fmt: skip


def places(node, at=()):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*at, key)
        yield from places(value, (*at, key))


def grid():
    content = tiny.grid()
    content["external"] = [{"train": "chest", "test": "chest"}]
    content["backbones"] = {"small_vit": {"sources": ["dtd"], "targets": ["chest"], "transfer": {"epochs": 1}}}
    content["resources"] = {"transfer": {"threads": 1, "memory_mb": 1000}}
    content["transfer"] |= {"axes_sources": ["dtd"], "seed_targets": ["chest"], "fraction": 1.0}
    content["transfer"]["targets"]["chest"]["n_images"] = [30]
    return content


@pytest.mark.parametrize("place", list(places(grid())), ids=lambda place: ".".join(map(str, place)))
def test_a_wrong_value_at_any_place_of_a_file_gives_a_grid_or_one_message_that_names_the_file(project, place):
    for value in WRONG:
        content = copy.deepcopy(grid())
        block = content
        for key in place[:-1]:
            block = block[key]
        block[place[-1]] = value
        try:
            runs = expand.runs(profiles.validate(content, "params/x.yaml"), "x", "params/x.yaml")
        except InputError as error:
            assert all(line.startswith("params/x.yaml") for line in str(error).splitlines()), error
        else:
            numbers = [one for run in runs.values() for one in run.parameters.values() if isinstance(one, float)]
            assert all(map(math.isfinite, numbers))


@pytest.mark.parametrize("step", STEPS)
def test_no_setting_takes_an_infinite_number_a_seed_below_zero_or_a_list_that_names_something_twice(project, step):
    record = STEPS[step].settings
    for name in record.model_fields:
        wrong = [math.inf, math.nan, [1, 1], ["a", "a"]] + ([-1, 2**32, [-1]] if "seed" in name else [])
        for value in wrong:
            with pytest.raises(ValueError, match=f"(?s){name}"):
                record.model_validate({name: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "in line 2: found duplicate key"),
        ("b:\n  c: 1\n  c: 1\n", "in line 3: found duplicate key"),
        ("b:\n\tc: 1\n", "in line 2: found character"),
        ("a: *x\n", "in line 1: found undefined alias"),
        ("a: [1\n", "is not readable as YAML"),
        ("a: 1\n---\nb: 2\n", "is not readable as YAML"),
        ("a: D\0\n", "is not readable as YAML"),
    ],
)  # fmt: skip
def test_yaml_that_would_be_read_otherwise_than_it_was_meant_is_refused_with_its_line(text, message):
    with pytest.raises(InputError, match=f"^file .*{message}"):
        read_yaml(text, "file")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-5", 1e-5), ("0480", 480), ("0420", 420), ("20:00", "20:00"), ("1_000", 1000), ("yes", "yes"), ("~", None)],
)  # fmt: skip
def test_numbers_are_read_as_they_are_written(text, value):
    assert read_yaml(f"a: {text}", "file") == {"a": value}


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "x.yaml").write_bytes("title: D\xe9".encode("latin-1"))
    with pytest.raises(InputError, match="^x is not UTF-8 at byte 8. Save it as UTF-8"):
        read_yaml(tmp_path / "x.yaml", "x")
