"""Where the classes lie in a folder tree: below splits, one level too deep, or with folders inside the class folders.

Reads a tree where its levels are certain; InputError otherwise, with the level at which images were found.
"""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from catscans_lib.errors import InputError, and_more
from catscans_lib.images.listing import MASK, Problem, class_key, image_names, is_rubbish, name_fault

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
SPLITS |= {"test": "test", "testing": "test"}
AFTER_SPLIT = re.compile(r"[ _-]?(?:set|data|images|split|folder)$")
PICTURES = re.compile(r"images?|imgs?|pictures?|photos?|originals?|pngs?|jpe?gs?|tiffs?|bmps?|\d+x", re.IGNORECASE)
MASKS = re.compile(r".*masks?|seg|segmentations?|annotations?|labels?|ground[ _-]?truths?|gt", re.IGNORECASE)
FORM = re.compile(f"{PICTURES.pattern}|{MASKS.pattern}", re.IGNORECASE)
# The name of one patient, slide, ... and never of a class: a number, or such a word and a number.
UNIT = re.compile(r"(?:patient|pat|p|person|subject|sub|case|slide|series|study|scan|id)?[ _-]*\d+.*", re.IGNORECASE)
CLASS_LEVEL = "Give a folder with one folder per class, or a CSV with path and label."
TO_CSV = (  # not masks; paths in quotation marks
    'cd {} && (echo path,label; find */ -type f ! -iname \'*mask*\' | awk -F/ \'{{print "\\"" $0 "\\"," $1}}\') > labels.csv'
)
NESTED = (
    "The class folders hold folders, such as '{}'. If each is a patient: --group patient --group-pattern '([^/]+)/.*'"
)
ALIKE = 0.75  # similarity of two names from which they may be spellings of one


class Found(NamedTuple):
    """One image: its split ("": none), class, path below the class folder, and path below the root."""

    split: str
    label: str
    below: str
    path: str


@dataclass
class Tree:
    """A folder: its images, what else is in it, and the folders in it that have images at any level."""

    path: Path
    below: str  #: path below the root, for messages
    images: list[str] = field(default_factory=list)
    folders: list["Tree"] = field(default_factory=list)
    empty: list["Tree"] = field(default_factory=list)  #: folders without images
    problems: list[Problem] = field(default_factory=list)  #: other files

    def __post_init__(self) -> None:
        self.name = self.path.name

    def all(self) -> Iterator[str]:
        """Yield the paths of the images at all levels."""
        yield from (f"{self.below}/{name}".lstrip("/") for name in self.images)
        for folder in self.folders:
            yield from folder.all()

    def other_files(self) -> list[Problem]:
        """Return the problems at all levels."""
        below = [problem for folder in (*self.folders, *self.empty) for problem in folder.other_files()]
        return [*self.problems, *below]

    def lose(self, why: str) -> list[Problem]:
        """Return a problem for each image at all levels."""
        return [Problem(path, f"{why}; left out") for path in self.all()]


def scan(path: Path, root: Path, lost: list[Problem], above: tuple[str, ...] = ()) -> Tree:
    """Return the tree of a folder; images in folders whose names cannot be used are added to `lost`.

    Links are followed, but not to a folder on the way here: `above` has their real paths.
    """
    tree = Tree(path, "" if path == root else path.relative_to(root).as_posix())
    try:
        tree.images = image_names(path, tree.below, tree.problems, skip_folders=True)
    except OSError as error:
        tree.problems.append(Problem(tree.below or ".", f"folder cannot be read: {error.strerror}"))
        return tree
    above = (*above, os.path.realpath(path))
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if not Path(entry.path).is_dir() or is_rubbish(entry.name) or os.path.realpath(entry.path) in above:
            continue
        folder = scan(Path(entry.path), root, lost, above)
        if fault := name_fault(entry.name):
            lost += [one._replace(path=ascii(one.path)[1:-1]) for one in folder.lose(f"folder {fault}")]
        else:
            (tree.folders if any(folder.all()) else tree.empty).append(folder)
    return tree


def find(folder: Path, root: Path, problems: list[Problem]) -> Iterator[Found]:
    """Yield the images of the classes in a folder, paths below `root`; InputError if the level of splits or classes is unsure."""
    top = scan(folder, root, problems)
    found = [one for split, parent in _levels(top, problems) for one in _classes(split, parent, problems)]
    problems += [] if found else top.problems
    _compare(found, problems, root)
    yield from found


def split_of(name: str) -> str:
    """Return the split that a folder's name means; "" if none.

    >>> split_of("Training Set"), split_of("VALID"), split_of("benign")
    ('train', 'val', '')
    """
    return SPLITS.get(AFTER_SPLIT.sub("", name.lower()), "")


def _levels(top: Tree, problems: list[Problem]) -> list[tuple[str, Tree]]:
    """Return the folders that hold the class folders, each with its split."""
    start = above = tree = _without_masks(top, problems)
    while True:
        named = [one for one in tree.folders if split_of(one.name)]
        if len(named) == 1 < len(tree.folders):
            others = and_more([one.name for one in tree.folders if one not in named], 3)
            raise InputError(
                f"'{named[0].name}' in '{tree.path}' looks like a split, but beside it are {others}. {CLASS_LEVEL}",
                instead=(top.path, named[0].path),
            )
        if named:
            for one in tree.folders:
                problems += [] if one in named else one.lose("beside the folders of the splits")
            problems += Tree(tree.path, tree.below, tree.images).lose("beside the folders of the splits")
            if tree is not top:
                names = and_more([one.name for one in named])
                problems.append(Problem("", f"Read in '{tree.below}', which holds {names}."))
            return [(split_of(one.name), _inner(one, problems)) for one in named]
        if tree.images or len(tree.folders) != 1:
            break
        above, tree = tree, _without_masks(tree.folders[0], problems)
    if tree.images and not tree.folders and (tree is start or PICTURES.fullmatch(tree.name)):
        raise InputError(f"{len(tree.images):,} images lie directly in '{tree.path}', without a class. {CLASS_LEVEL}")
    if tree is start or not tree.folders:
        return [("", tree if tree is start else above)]
    inside = and_more([one.name for one in tree.folders], 5)
    raise InputError(
        f"'{top.path}' has no class folders: images were found below '{tree.below}', which holds {inside}. {CLASS_LEVEL}",
        instead=(top.path, tree.path),
    )


def _inner(tree: Tree, problems: list[Problem]) -> Tree:
    """Skip folders that only repeat the name of the split, or hold all its images."""
    tree = _without_masks(tree, problems)
    while not tree.images and len(tree.folders) == 1:
        only = tree.folders[0]
        if only.name.lower() != tree.name.lower() and not split_of(only.name) and not PICTURES.fullmatch(only.name):
            break
        tree = _without_masks(only, problems)
    return tree


def _without_masks(tree: Tree, problems: list[Problem]) -> Tree:
    """Return the folder of the images where those of masks lie beside it, or else `tree`."""
    pictures = [one for one in tree.folders if PICTURES.fullmatch(one.name)]
    masks = [one for one in tree.folders if MASKS.fullmatch(one.name)]
    if tree.images or len(pictures) != 1 or not masks or len(tree.folders) != 1 + len(masks):
        return tree
    problems += [problem for one in masks for problem in one.lose("in a folder of masks")]
    return pictures[0]


def _classes(split: str, parent: Tree, problems: list[Problem]) -> Iterator[Found]:
    """Yield the images of the class folders of `parent`."""
    problems += Tree(parent.path, parent.below, parent.images).lose("in no class folder")
    names = {one.name for one in parent.folders}
    inner: dict[str, set[str]] = {}  # of every class, the folders that are no part of the form
    classes = []
    for one in parent.folders:
        if not one.images and len({folder.name for folder in one.folders} & names) > 1:
            problems += one.lose("in a copy of the folders beside it")
        elif (match := MASK.fullmatch(one.name)) and match[1] in names:
            problems += one.lose("in a folder of masks")
        else:
            classes.append(one)
            if not one.images and not all(split_of(folder.name) for folder in one.folders):
                inner[one.name] = {folder.name.lower() for folder in one.folders if not FORM.fullmatch(folder.name)}
    found = [name for named in inner.values() for name in named]
    is_apart = len(inner) > 1 and len(set(found)) == len(found) and all(re.search(r"\d", name) for name in found)
    if found and not is_apart and not all(UNIT.fullmatch(name) for name in found):
        one = next(one for one in classes if inner.get(one.name))
        below = next(folder.below for folder in one.folders if not FORM.fullmatch(folder.name))
        raise InputError(
            f"Images were found two levels down, such as in '{below}'; it is not certain which level names the class. Say it "
            f"with a CSV, and add that. If the classes are {and_more([one.name for one in classes], 3)}, this writes it (for the "
            f"folders in them, $2 in place of $1):\n{TO_CSV.format(shlex.quote(str(parent.path)))}"
        )
    if found:
        problems.append(Problem("", NESTED.format(next(iter(found)))))
    for one in classes:
        yield from _images(one, one, split, problems)
    for one in parent.empty:
        problems += [*one.problems, Problem(one.below, "class folder without images")]


def _images(tree: Tree, of: Tree, split: str, problems: list[Problem]) -> Iterator[Found]:
    """Yield the images of a folder of the class folder `of`."""
    problems += tree.problems
    for name in tree.images:
        path = f"{tree.below}/{name}"
        yield Found(split, of.name, path.removeprefix(f"{of.below}/"), path)
    has_pictures = tree.images or any(PICTURES.fullmatch(one.name) for one in tree.folders)
    for one in tree.folders:
        if has_pictures and MASKS.fullmatch(one.name):
            problems += one.lose("in a folder of masks")
        elif tree.images and not PICTURES.fullmatch(one.name):
            problems += one.lose("in a folder beside the images of a class")
        else:
            yield from _images(one, of, split or split_of(one.name), problems)


def _compare(found: list[Found], problems: list[Problem], root: Path) -> None:
    """Note classes that some split lacks; InputError if two of them are likely one class with two names."""
    where: dict[str, dict[str, Found]] = {}  # by class: of every split, an image of the class
    for one in found:
        where.setdefault(class_key(one.label), {}).setdefault(one.split, one)
    splits = {one.split for one in found}
    partial = {key: of for key, of in sorted(where.items()) if len(of) < len(splits)}
    for (key, of), (other, of_other) in combinations(partial.items(), 2):
        if of.keys() & of_other.keys():
            continue
        if SequenceMatcher(None, key, other).ratio() > ALIKE or key.startswith(other) or other.startswith(key):
            first, second = next(iter(of.values())), next(iter(of_other.values()))
            said = [f"'{one.label}' only in {one.split}" for one in (first, second)]
            wrong = root / second.path.removesuffix(f"/{second.below}")
            command = shlex.join(["mv", str(wrong), str(wrong.with_name(first.label))])
            raise InputError(f"One class with two names? {' and '.join(said)}. If so: {command}\nIf not, give a CSV.")
    for split in sorted(splits):
        if labels := [next(iter(of.values())).label for of in partial.values() if split not in of]:
            problems.append(Problem("", f"Without images in {split or 'the other folders'}: {and_more(labels, 10)}."))
