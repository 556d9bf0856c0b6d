"""What the pictures share: colours, figures without global state, and writing them."""

from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from ..engine.atomic import write_atomically

# Okabe and Ito's colours, which colour-blind readers tell apart, without black and yellow.
COLOURS = ('#56b4e9', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#0072b2')


def colour_at(index: int) -> str:
    """Return the colour of a class, pass or run by its number."""
    return COLOURS[index % len(COLOURS)]


def new_figure(width: float, height: float, title: str = '') -> Figure:
    """Return an empty figure; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=110, layout='constrained')
    figure.suptitle(title.replace('$', r'\$'), fontsize=11)  # no formula
    return figure


def png_of(figure: Figure) -> bytes:
    """Return the content of a figure's PNG file."""
    content = BytesIO()
    figure.savefig(content, format='png')
    return content.getvalue()


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, whole or not at all; makes the folder and returns the path."""
    write_atomically(png_of(figure), path)
    return Path(path)
