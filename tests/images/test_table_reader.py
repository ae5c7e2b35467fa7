"""Tables in every dialect give the same values, and what cannot be read is named."""

import pytest

from catscans_lib.errors import InputError
from catscans_lib.images import tables

ROWS = [("path", "label", "note"), ("a é.png", "benign", "0,5"), ("b.png", "mal,ig;nant", 'a "b"'), ("c.png", "", "")]


def quoted(value):
    return '"' + value.replace('"', '""') + '"'


def written(delimiter, rows=ROWS, end="\n"):
    return end.join(delimiter.join(map(quoted, row)) for row in rows) + end


DIALECTS = {
    "commas": written(",").encode(),
    "semicolons": written(";").encode(),
    "tabs": written("\t").encode(),
    "bars": written("|").encode(),
    "Windows lines": written(",", end="\r\n").encode(),
    "old Mac lines": written(",", end="\r").encode(),
    "BOM": written(",").encode("utf-8-sig"),
    "UTF-16": written(";").encode("utf-16"),
    "spaces after commas": written(", ").encode(),
    "a comma at the end of each row": written(",", end=",\n").encode(),
    "a comma at the end of each row but the first": written(",", end=",\n").replace('"note",', '"note"').encode(),
    "blank lines": written(",", end="\n\n,,\n").encode(),
    "capitals": written(",").replace('"path"', '"Path"').encode(),
    "an index without a name": written(",", [(str(n) if n else "", *row) for n, row in enumerate(ROWS)]).encode(),
    "no end of the last line": written(",").encode().rstrip(b"\n"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_table(tmp_path, dialect):
    (tmp_path / "t.csv").write_bytes(DIALECTS[dialect])
    rows, problems = tables.read(tmp_path / "t.csv", ["path", "label"])
    assert [tuple(rows), *rows.itertuples(index=False, name=None)] == ROWS
    assert problems == []


def test_windows_1252_is_read_and_noted(tmp_path):
    (tmp_path / "t.csv").write_bytes(written(",").encode("cp1252"))
    rows, problems = tables.read(tmp_path / "t.csv", ["path"])
    assert rows["path"][0] == "a é.png" and [problem.path for problem in problems] == [""]
    assert "read as Windows-1252" in problems[0].problem


def test_a_lone_quotation_mark_swallows_no_row_and_longer_rows_are_named(tmp_path):
    (tmp_path / "t.csv").write_text('path,label\n"a.png,x\nb.png,y\nc.png,z,w\nd.png,"z"\n')
    rows, problems = tables.read(tmp_path / "t.csv", ["path", "label"])
    assert list(rows["path"]) == ["a.png", "b.png", "d.png"] and list(rows["label"]) == ["x", "y", "z"]
    assert problems[0].path == "t.csv: row 4" and "has 3 values, the first line 2" in problems[0].problem
    with pytest.raises(InputError, match="Cannot read .*row 4.*Again"):
        tables.read_csv(tmp_path / "t.csv", ["path"], "Again.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (b"PK\x03\x04\0\0\0\x08", "not a text file. Save the table as CSV"),
        (b"file,class\na,b\n", "lacks path; it has file, class. Name it"),
        (b"path,Path,x\na,b,c\n", None),
        (b"PATH,Path,x\na,b,c\n", "has 2 columns 'path'"),
        (b"path,path,x\na,b,c\n", "has 2 columns 'path'"),
    ],
)
def test_other_files_are_refused_with_their_reason(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    if message is None:
        assert list(tables.read(tmp_path / "t.csv", ["path"])[0]["path"]) == ["a"]
        return
    with pytest.raises(InputError, match=message):
        tables.read(tmp_path / "t.csv", ["path"], "Name it.")
