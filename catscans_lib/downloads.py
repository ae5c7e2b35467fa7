"""Published files from their addresses to the data folder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """One published file."""

    url: str
