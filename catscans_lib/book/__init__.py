"""The book of a profile: chapters, numbers, figures and executed notebooks, as HTML and as a PDF.

In: the tables, figures and records of finished runs, and the templates in `book/`. Out: `_build/<profile>/`.
Numbers in the text come from the tables; nothing is trained or evaluated here.
"""

from catscans_lib.book.assembly import BookError, assemble, build

__all__ = ["BookError", "assemble", "build"]
