"""The look of every figure, and how one is saved."""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from catscans_lib import datasets

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933", "#882255", "#888888")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), "-.")  # told apart also in grey
MARKERS = {"isic2018": "o", "chest": "s", "pcam_middle": "^"}
DEMO_STAMP = "DEMO – made-up images, not a medical result"


def set_style() -> None:
    """Set the look of every figure that is drawn afterwards."""
    mpl.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.constrained_layout.w_pad": 0.1,  # inches: a reader's font may be wider than ours
            "figure.dpi": 100,
            "savefig.dpi": 160,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "legend.frameon": False,
            "svg.hashsalt": "catscans",  # the same figure gives the same file
            "svg.fonttype": "none",
        }
    )


def stamp(figure: Figure, profile: str) -> None:
    """Write on a figure of the demo world that it is one."""
    if profile.split("/")[0] == "demo" and not any(text.get_text().startswith("DEMO") for text in figure.texts):
        fits = figure.get_figwidth() > 3.5
        stamp = DEMO_STAMP if fits else DEMO_STAMP.replace(", ", ",\n")
        figure.supxlabel(stamp, fontsize=8, color="#B00020", weight="bold", x=0.01, ha="left")


def save(figure: Figure, folder: Path, name: str, table: pd.DataFrame, profile: str) -> None:
    """Save a figure as SVG and PNG with the table it shows beside it, all called `name`."""
    stamp(figure, profile)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"bbox_inches": "tight", "pad_inches": 0.1}  # of a small grid, labels reach beyond the axes
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, **whole)
    figure.savefig(folder / f"{name}.png", metadata={"Software": None}, **whole)
    table.to_csv(folder / f"{name}.csv", index=False)


def ordered(names: pd.Series) -> list[str]:
    """Sources or targets in the order of the study's tables, the baseline last."""
    here = list(dict.fromkeys(names))
    known = [*datasets.known(), *here]
    return sorted(here, key=lambda name: (name == "none", known.index(name)))
