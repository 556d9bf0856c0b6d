"""Figures as SVG inside a page, in the page's own colours."""

from __future__ import annotations

import hashlib
import io
import re

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

_INK = '#000000'  # matplotlib's text, axes and lines without a colour of their own
_GROUND = '#ffffff'
_METADATA = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))


def inline_svg(figure: Figure, label: str) -> Markup:
    """A figure as an ``<svg>`` element.

    Text stays text, so that it can be read at any size, searched and read out. Black becomes the
    page's text colour and white its ground, for light and dark alike.

    Args:
        figure: With white ground and black text.
        label: What it shows, in words; also makes the identifiers inside unique in the page.
    """
    file = io.StringIO()
    with matplotlib.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'mmgradaug'}):
        figure.savefig(file, format='svg', transparent=True, metadata=_METADATA)
    text = file.getvalue()
    text = text[text.index('<svg') :]
    text = re.sub(r'<(metadata|style)\b.*?</\1>', '', text, flags=re.DOTALL)
    text = text.replace(_INK, 'currentColor').replace(_GROUND, 'var(--ground)')
    prefix = 'g' + hashlib.sha256(f'{label}\n{text}'.encode()).hexdigest()[:10] + '-'
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf'\g<1>{prefix}', text)
    return Markup(_opening(text, label) + text[text.index('>') + 1 :])


def _opening(text: str, label: str) -> str:
    """The opening tag: the size comes from the page, its ratio from the figure."""
    view = re.search(r'viewBox="([^"]+)"', text)
    assert view is not None, 'matplotlib writes a viewBox'
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{view[1]}" '
        f'role="img" aria-label="{escape(label)}">'
    )
