"""Keeps secrets out of everything that is written or printed.

Secrets are the values of environment variables whose names say so (TOKEN, PASSWORD, API_KEY, ...) and passwords in addresses.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

MASKED = "[secret]"
MIN_LENGTH = 8  # characters; shorter values also occur in ordinary numbers and words
TEXT = (".ipynb", ".json", ".csv", ".log", ".txt", ".md", ".svg", ".html", ".yaml")
_NAME = re.compile(
    r"TOKEN(?!I[SZ])|SECRET|PASSW(OR)?D|PASSPHRASE|API_?KEY|(ACCESS|PRIVATE)_?KEY|CREDENTIAL|_PAT$", re.I
)
_PROXY = re.compile(r"_PROXY$", re.I)
_PASSWORD = re.compile(r":([^\s:/@]+)@")  # of user:password@host
_IN_ADDRESS = re.compile(r"(://[^\s/:@'\"\\<>]*):[^\s/@'\"\\<>]+@")


@dataclass(frozen=True)
class Mask:
    """Replaces secrets by `[secret]`. `values` holds each as it is and as JSON, Python and URLs write it, longest first."""

    values: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> "Mask":
        """Return the mask for the secrets in the environment now."""
        forms, secrets = set(), _secrets().values()
        passwords = [password for value in secrets for password in _PASSWORD.findall(value)]
        lines = [line for value in secrets for line in value.splitlines()]
        for text in (text for text in (*lines, *passwords, *map(unquote, passwords)) if len(text) >= MIN_LENGTH):
            as_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
            forms |= {text, *as_json, repr(text)[1:-1], quote(text, "")}
        return cls(tuple(sorted(forms, key=len, reverse=True)))

    def __call__(self, text: str) -> str:
        """Return a text with secrets masked."""
        for value in self.values:
            text = text.replace(value, MASKED)
        return _IN_ADDRESS.sub(rf"\1:{MASKED}@", text)

    def plain(self, values: Any) -> Any:
        """Return JSON-like values with secrets masked."""
        return json.loads(self(json.dumps(values)))

    def error(self, error: BaseException) -> None:
        """Mask secrets in an error and in its whole chain of causes and contexts, in place."""
        chain = [error]
        for one in chain:
            chain += [other for other in (one.__cause__, one.__context__) if other is not None and other not in chain]
            one.args = tuple(self._text(value) for value in one.args)
            # papermill keeps texts in attributes, OSError in filename and strerror
            for name in {*vars(one), "filename", "strerror"} & set(dir(one)):
                value = getattr(one, name)
                if (masked := self._text(value)) != value:
                    setattr(one, name, masked)

    def folder(self, folder: Path) -> None:
        """Mask secrets in every text file below a folder."""
        for path in (path for path in folder.rglob("*") if path.suffix in TEXT and path.is_file()):
            before = path.read_bytes()
            after = self(before.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            if after != before:
                path.write_bytes(after)

    def _text(self, value: Any) -> Any:
        if isinstance(value, str):
            return self(value)
        return [self._text(part) for part in value] if isinstance(value, list) else value


@contextmanager
def hidden() -> Iterator[None]:
    """Remove secrets from the environment for a while, so that processes do not inherit them; a proxy's address stays."""
    secrets = {name: os.environ.pop(name) for name in _secrets() if not _PROXY.search(name)}
    try:
        yield
    finally:
        os.environ.update(secrets)


def _secrets() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if _NAME.search(name) or _IN_ADDRESS.search(value) or (_PROXY.search(name) and "@" in value)
    }
