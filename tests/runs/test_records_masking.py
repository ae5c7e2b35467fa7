"""No secret is ever recorded or printed."""

import json
import os

import nbformat
import pytest
import tiny

from catscans_lib.runs.records.masking import MASKED, Mask, hidden

TOKEN, KEY, LITERAL = "osf-4f9c1e77aa20", 'neptune"key\\with/signs==', "pass-word-1234"
ENVIRONMENT = {
    "OSF_TOKEN": TOKEN,
    "NEPTUNE_API_TOKEN": KEY,
    "CATSCANS_MONGO_URL": f"mongodb://cat:{LITERAL}@db.example.org/runs",
    "DATABASE_PASSWORD": LITERAL,
    "HTTPS_PROXY": "cat:proxy%40pass-5678@proxy.example.org:3128",
}
FORMS = (TOKEN, KEY, json.dumps(KEY)[1:-1], LITERAL, "proxy%40pass-5678", "proxy@pass-5678")
START = "from catscans_lib.runs import in_notebook; run = in_notebook.start('overlaps', profile=profile)"
READ = "import json; from pathlib import Path; secrets = json.loads(Path('secrets.json').read_text())"
PRINT = """import os, sys
print('environment:', sorted(set(os.environ) & set(secrets)))
for name, value in secrets.items():
    print(name, value)
    print(value, file=sys.stderr)
from urllib.parse import unquote
print(unquote(secrets['HTTPS_PROXY'].split('@')[0]).split(':')[1])
os.write(2, value.encode())
secrets"""
FACTS = "(run.work / 'note.csv').write_text(secrets['OSF_TOKEN']); run.finish(n_images=3, note=secrets['OSF_TOKEN'])"
FAIL = (
    "raise ValueError(f\"cannot reach https://cat:{secrets['DATABASE_PASSWORD']}@osf.io with {secrets['OSF_TOKEN']}\")"
)


@pytest.fixture
def project(tmp_path):
    """A project with one quick run, whose notebook reads the secrets from a file and writes them in every way it can."""
    folder = tiny.project(tmp_path)
    (folder / "secrets.json").write_text(json.dumps(ENVIRONMENT))
    for key in ("ingest/dtd", "ingest/chest"):
        (folder / "results/demo" / key).mkdir(parents=True)
        (folder / "results/demo" / key / "run.json").write_text('{"status": "completed", "run_id": "r"}')
    return folder


def execute(folder, *cells):
    """Run a notebook with these cells instead of overlaps.ipynb; return the finished command."""
    parameters = nbformat.v4.new_code_cell("profile = 'demo'\ndatasets = []", metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python"}})
    notebook.cells = [parameters, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
    nbformat.write(notebook, folder / "notebooks/overlaps.ipynb")
    return tiny.catscans(folder, "run", "overlaps/all", **ENVIRONMENT)


def leaks(folder, said):
    """Every file below the results, and every stream, that contains a secret in some form."""
    files = [path for path in (folder / "results").rglob("*") if path.is_file()]
    texts = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    texts |= {"stdout": said.stdout.encode(), "stderr": said.stderr.encode()}
    return [name for name, text in texts.items() if any(form.encode() in text for form in FORMS)]


def test_a_token_is_masked_in_everything_that_a_run_leaves(project):
    said = execute(project, START, READ, PRINT, FACTS)
    assert said.returncode == 0, said.stderr
    run = project / "results/demo/overlaps/all"
    assert leaks(project, said) == []
    notebook = (run / "overlaps.ipynb").read_text()
    assert MASKED in notebook
    nbformat.validate(nbformat.reads(notebook, as_version=4))
    assert "environment: ['HTTPS_PROXY']" in notebook  # the kernel does not even have the others
    assert json.loads((run / "run.json").read_text())["note"] == MASKED
    assert MASKED in (run / "note.csv").read_text()
    assert f"OSF_TOKEN {MASKED}" in (project / "results/demo/records/1/cout.txt").read_text()


def test_a_token_in_an_error_is_masked_in_traceback_log_and_terminal(project):
    said = execute(project, START, READ, PRINT, FAIL)
    assert said.returncode == 1
    work = project / "results/demo/overlaps/.all.work"
    assert leaks(project, said) == []
    assert f"cannot reach https://cat:{MASKED}@osf.io with {MASKED}" in said.stderr
    assert MASKED in (work / "kernel.log").read_text()
    trace = "".join(json.loads((project / "results/demo/records/1/run.json").read_text())["fail_trace"])
    assert f"ValueError: cannot reach https://cat:{MASKED}@osf.io with {MASKED}" in trace


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("OSF_TOKEN", "abcdefgh1", True), ("AWS_SECRET_ACCESS_KEY", "abcdefgh1", True), ("PGPASSWORD", "abcdefgh1", True),
        ("OPENAI_API_KEY", "abcdefgh1", True), ("TOKENIZERS_PARALLELISM", "abcdefgh1", False), ("HOME", "abcdefgh1", False),
        ("OSF_TOKEN", "false", False),
    ],
)  # fmt: skip
def test_secrets_are_recognised_by_the_name_of_the_variable_and_their_length(monkeypatch, name, value, is_secret):
    monkeypatch.setenv(name, value)
    assert (Mask.of_environment()(f"it is {value}!") == f"it is {MASKED}!") is is_secret


def test_passwords_in_addresses_are_masked():
    masked = f"mongodb://me:{MASKED}@host:27017/db and ftp://you:{MASKED}@h"
    assert Mask(())("mongodb://me:p4ss@host:27017/db and ftp://you:x@h") == masked
    harmless = "https://osf.io:443/a@b, time 12:30, me@example.org"
    assert Mask(())(harmless) == harmless


def test_secrets_in_parameters_are_masked(monkeypatch):
    monkeypatch.setenv("OSF_TOKEN", KEY)
    assert Mask.of_environment().plain({"answers": f"a/{KEY}.csv", "n": 3}) == {"answers": f"a/{MASKED}.csv", "n": 3}


def test_secrets_are_masked_in_the_whole_chain_of_an_error(monkeypatch):
    monkeypatch.setenv("OSF_TOKEN", TOKEN)
    try:
        try:
            raise FileNotFoundError(2, "No such file", f"/data/{TOKEN}")
        except FileNotFoundError as cause:
            raise ValueError("outer", [f"in a list {TOKEN}"]) from cause
    except ValueError as error:
        Mask.of_environment().error(error)
        assert TOKEN not in str(error) + str(error.__cause__)
        assert str(error.__cause__) == f"[Errno 2] No such file: '/data/{MASKED}'"


def test_hidden_secrets_come_back_after_an_error(monkeypatch):
    monkeypatch.setenv("OSF_TOKEN", TOKEN)
    with pytest.raises(KeyError), hidden():
        assert "OSF_TOKEN" not in os.environ
        raise KeyError
    assert os.environ["OSF_TOKEN"] == TOKEN
