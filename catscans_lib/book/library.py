"""The library reference: a page for the library and each of its packages, from its signatures and docstrings.

Nothing is imported: importing everything would start TensorFlow.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sphinx.ext.napoleon import Config, NumpyDocstring

from catscans_lib.book.templates import template

LIBRARY = Path(__file__).parents[1]
OPTIONS = Config(napoleon_use_rtype=False, napoleon_use_ivar=True, napoleon_use_param=False)


@dataclass(frozen=True)
class Entry:
    """A public function, class or method: directive of Sphinx's Python domain, name with signature, docstring as RST, members."""

    kind: str
    signature: str
    text: str
    members: tuple["Entry", ...] = ()


@dataclass(frozen=True)
class Module:
    """A module: its name with dots, the first line of its docstring, the docstring as RST, its public entries."""

    name: str
    summary: str
    text: str
    entries: tuple[Entry, ...]


def pages(profile: str) -> dict[str, bytes]:
    """Return the overview and the pages of all packages, by their places in the book."""
    packages = _read()
    made = {f"library/{name}.md": _render("_library.md", package=name, modules=of) for name, of in packages.items()}
    return made | {"library.md": _render("library.md", packages=packages, profile=profile)}


@cache
def _read() -> dict[str, list[Module]]:
    return {package: list(_modules(package)) for package in _packages()}


def _packages() -> list[str]:
    """Names of the library and its packages, with dots."""
    found = sorted(path.parent for path in LIBRARY.rglob("__init__.py"))
    return [".".join(folder.relative_to(LIBRARY.parent).parts) for folder in found]


def _modules(package: str) -> Iterator[Module]:
    """Read a package and its modules; private ones and those without a docstring are left out."""
    folder = LIBRARY.parent.joinpath(*package.split("."))
    for path in sorted(folder.glob("*.py"), key=lambda path: (path.stem != "__init__", path.stem)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        text = ast.get_docstring(tree) or ""
        if text and (path.stem == "__init__" or not path.stem.startswith("_")):
            name = package if path.stem == "__init__" else f"{package}.{path.stem}"
            yield Module(name, text.partition("\n")[0], rst(text), tuple(_entries(tree.body)))


def _entries(body: list[ast.stmt], of_class: bool = False) -> Iterator[Entry]:
    """Read the public functions and classes that have a docstring, in the order of the code."""
    for node in body:
        text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
        if text and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield Entry("class", node.name, rst(text), tuple(_entries(node.body, of_class=True)))
            else:
                yield Entry("method" if of_class else "function", _signature(node, of_class), rst(text))


def _signature(node: ast.FunctionDef, of_class: bool) -> str:
    """Return name, arguments and result as written; a property has no arguments, a method no `self`."""
    if any(isinstance(mark, ast.Name) and "property" in mark.id for mark in node.decorator_list):
        return node.name
    arguments = ast.unparse(node.args)
    if of_class:
        arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    return f"{node.name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def rst(docstring: str) -> str:
    """Return a numpydoc docstring as reStructuredText; single backticks become code, as the project writes them."""
    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", r"``\1``", docstring)
    words = re.split(r"(``.*?``)", text)  # a word that ends in an underscore would be a link
    words[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", part) for part in words[::2]]
    return str(NumpyDocstring("".join(words), OPTIONS))


def _render(name: str, **context: object) -> bytes:
    return template(name, ()).render(context).encode()
