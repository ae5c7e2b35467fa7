"""Which definitions of the library some code depends on, and a fingerprint of each.

A definition is a function, a class or an assignment of a module. From the names in some code we follow to the definitions that
they name, from these to the next ones, and so on. Fingerprints ignore layout, comments, docstrings and the texts of errors.
Every run asks for them, so the facts about a file are cached in `.snakemake/code/`.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from catscans_lib import paths

LIBRARY = Path(__file__).parents[1]
# Rooms that start runs, show results or word errors: no number in a run's tables depends on them.
UNFOLLOWED = {"book", "cli", "errors", "figures", "grid", "runs", "sharing", "sweep"}
# Tables of which a run uses some entries: `recipe` adds these entries themselves, so that a new one outdates nothing.
BY_ENTRY = {f"{LIBRARY.name}.{name}" for name in (
    "datasets.cards.published", "datasets.own.card", "datasets.demo.make", "networks.registry.NETWORKS",
)}  # fmt: skip
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
IMPORTED = ""  # the key of what runs when a module is imported and defines no name of its own


class Definition(NamedTuple):
    """SHA-256 of a syntax tree and of what its names stand for; full names of what it uses of the library and of its module."""

    meaning: str
    uses: list[str]

    @property
    def is_import(self) -> bool:
        """Whether it is an import, from which others may import."""
        return self.uses == [self.meaning]


Definitions = dict[str, Definition]  # by name; methods also as Class.method


def reached(names: Iterable[str], always: Collection[str] = ()) -> dict[str, str]:
    """Return the meaning of every definition that full names lead to, by its full name; a module leads to all of its own.

    The names `always` are followed even into a room, or to a table, that others are not followed to.
    """
    found: dict[str, str] = {}
    waiting = [*names, *always]
    while waiting:
        wanted = waiting.pop()
        module, rest = _split(wanted)
        definitions = _of_file(module) if module else {}
        exact = next((name for name in (".".join(rest[:2]), *rest[:1]) if name in definitions), None)
        parts = [(module, name) for name in (definitions if exact is None else [exact])]
        before = [module[:end] for end, sign in enumerate(f"{module}.") if sign == "." and end]  # it and its packages
        for place, name in [*parts, *((place, IMPORTED) for place in before)]:
            full = f"{place}.{name}"
            is_left_out = full in BY_ENTRY or full.split(".")[1] in UNFOLLOWED
            if full in found or name not in _of_file(place) or (wanted not in always and is_left_out):
                continue
            found[full] = _of_file(place)[name].meaning
            waiting += _of_file(place)[name].uses
    return found


def defines(full: str) -> bool:
    """Return whether a full name is that of a definition, of a method among others."""
    module, rest = _split(full)
    return bool(module) and ".".join(rest) in _of_file(module)


def file_of(full: str) -> Path:
    """Return the file of a definition that `reached` returned."""
    return _file(_split(full)[0])


def parsed(code: str | bytes, module: str, *, is_package: bool = False) -> Definitions:
    """Return the definitions of some code; like a notebook, it may await something at its top level."""
    tree = _Plain().visit(compile(code, module, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT))
    package = module if is_package else module.rpartition(".")[0]
    statements = [
        one for one in getattr(tree, "body", []) if getattr(getattr(one, "test", None), "id", "") != "TYPE_CHECKING"
    ]
    plain = [statement for statement in statements if not isinstance(statement, FUNCTION | ast.ClassDef)]
    imported = {
        name: full for statement in plain for node in ast.walk(statement) for name, full in imports(node, package)
    }
    known = {name: f"{module}.{name}" for statement in statements for name in _bound(statement)} | imported
    kept = (f"{module}.", f"{LIBRARY.name}.")
    found = {name: Definition(full, [full]) for name, full in imported.items() if _is_ours(full)}
    for statement in statements:
        names = _bound(statement) or [IMPORTED] * (not isinstance(statement, ast.Import | ast.ImportFrom))
        inside = getattr(statement, "body", []) if isinstance(statement, ast.ClassDef) else []
        methods = [part for part in inside if isinstance(part, FUNCTION)]
        parts = [(f"{name}.{part.name}", part) for name in names for part in methods]
        for name, part in [*((name, statement) for name in names), *parts]:
            before, uses = found.get(name, Definition("", [])), sorted(set(_uses(part, known, package)))
            meaning = hashlib.sha256(f"{before.meaning}{ast.dump(part)}{uses}".encode()).hexdigest()
            found[name] = Definition(meaning, [*before.uses, *(use for use in uses if use.startswith(kept))])
    return found


def definitions(code: bytes, module: str, *, is_package: bool = False) -> Definitions:
    """Return what `parsed` does, from the cache if it has seen this code before."""
    # Another version of Python or of this module may see other facts.
    version = f"{sys.version} {module} {is_package}".encode() + Path(__file__).read_bytes()
    cached = paths.notes_dir() / "code" / f"{hashlib.sha256(version + code).hexdigest()}.json"
    try:
        return {name: Definition(*facts) for name, facts in json.loads(cached.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):  # missing or damaged
        found = parsed(code, module, is_package=is_package)
    if paths.notes_dir().is_dir():  # a sweep has made it
        with suppress(OSError), paths.atomic_write(cached) as part:
            part.write_text(json.dumps(found), encoding="utf-8")
    return found


@cache
def _of_file(module: str) -> Definitions:
    path = _file(module)
    return definitions(path.read_bytes(), module, is_package=path.name == "__init__.py")


class _Plain(ast.NodeTransformer):
    """Removes docstrings, texts in `raise` statements, and empty fields, in which versions of Python differ."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        has_body = isinstance(node, FUNCTION | ast.Module | ast.ClassDef)
        if has_body and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        super().generic_visit(node)
        for name in [name for name, value in ast.iter_fields(node) if value == []]:
            delattr(node, name)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return _PlainError().generic_visit(node)


class _PlainError(_Plain):
    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node


def _uses(part: ast.AST, known: dict[str, str], package: str) -> Iterator[str]:
    """Give the full name of every dotted name in a part of a module that the module or the part itself defines or imports."""
    known = known | {name: full for node in ast.walk(part) for name, full in imports(node, package)}
    waiting: list[ast.AST] = [part]
    while waiting:
        node, rest = waiting.pop(), []
        while isinstance(node, ast.Attribute):
            rest.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name):
            if node.id in known:
                yield ".".join([known[node.id], *rest])
        else:
            waiting += ast.iter_child_nodes(node)


def imports(node: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Give the names that an import statement binds, each with the full name of what it stands for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0], alias.name if alias.asname else alias.name.split(".")[0]
    elif isinstance(node, ast.ImportFrom):
        module = resolve_name("." * node.level + (node.module or ""), package or None)
        for alias in node.names:
            yield alias.asname or alias.name, f"{module}.{alias.name}"


def _bound(statement: ast.AST) -> list[str]:
    """Return the names that a plain definition binds; none for other statements, whatever they bind."""
    if isinstance(statement, FUNCTION | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    nodes = [node for target in targets for node in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [node.id for node in nodes] if all(isinstance(node, ast.Name) for node in nodes) else []


def _is_ours(full: str) -> bool:
    return full.split(".")[0] == LIBRARY.name


@cache
def _split(full: str) -> tuple[str, list[str]]:
    """Return the longest beginning of a full name that is a module of the library ("" if none), and the rest."""
    names = full.split(".")
    for length in range(len(names) if _is_ours(full) else 0, 0, -1):
        if _file(".".join(names[:length])):
            return ".".join(names[:length]), names[length:]
    return "", []


@cache
def _file(module: str) -> Path | None:
    place = LIBRARY.joinpath(*module.split(".")[1:])
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
