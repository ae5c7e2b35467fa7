"""The book of a profile: chapters, numbers, figures and executed notebooks put together, as HTML and as a PDF."""

from catscans_lib.book.assembly import BookError, assemble, build

__all__ = ["BookError", "assemble", "build"]
