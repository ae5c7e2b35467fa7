"""The one exception a user's input can raise; the command line prints it and exits with status 2."""


class InputError(ValueError):
    """Bad input. The message says what was got, what is known and what to do next."""


def unknown(kind: str, got: str, known: list[str] | tuple[str, ...]) -> InputError:
    """Return the error for a name that is not known.

    >>> unknown("dataset", "isic", ["isic2018", "chest"])
    InputError("Unknown dataset 'isic'; known: chest, isic2018.")
    """
    return InputError(f"Unknown {kind} '{got}'; known: {', '.join(sorted(known))}.")
