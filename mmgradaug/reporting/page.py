"""The report: one HTML file that needs no other."""

import base64
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from jinja2 import StrictUndefined, Template
from PIL import Image

from ..engine.atomic import write_atomically
from ..version import __version__
from ..visualization.canvas import colour_at, png_of
from . import charts
from .run import Run
from .tables import Table, config_table, metrics_table, overview

_TEMPLATE = Path(__file__).with_name('page.html.jinja')
_LEADS = {
    'Validation': 'Of the full network.',
    'Losses': 'Each with a line for every pass that has it. Sub-networks learn from what the full '
    'network says (soft, dashed) and from labels (hard).',
    'Widths and scales drawn': 'Of logged iterations.',
    'Time': 'Seconds of passes, of whole iterations (time), and of these the wait for data '
    '(data_time).',
}
_MOST_BESIDE = 6  # pictures in the work dir, as the demo leaves them
_MOST_LOGGED = 4  # newest ones in log folders, as mmdet's DetVisualizationHook leaves them
_MOST_BYTES = 400_000  # from which on a picture is made smaller
_MOST_WIDTH = 1400

Picture = tuple[str, str]  # what it is, and its content as a `data:` address


class Part(NamedTuple):
    """What a section shows of one run, or of all together; ``text`` is folded away."""

    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()
    text: str = ''


class Section(NamedTuple):
    """A section of the page: what is of all runs together, then of each."""

    title: str
    parts: Sequence[Part]
    shared: Part = Part()


def write_report(runs: Sequence[Run], path: Path) -> None:
    """Write the report of one or several runs, which are shown side by side, as an HTML file."""
    template = Template(
        _TEMPLATE.read_text(), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = template.render(
        runs=[(run.name, colour_at(charts.FIRST_RUN + index)) for index, run in enumerate(runs)],
        sections=[s for s in _sections(runs) if any(map(any, (s.shared, *s.parts)))],
        leads=_LEADS,
        now=f'{datetime.now():%Y-%m-%d %H:%M:%S}',
        version=__version__,
    )
    write_atomically(text.encode('utf-8', errors='replace'), path)


def _sections(runs: Sequence[Run]) -> Iterator[Section]:
    """Yield all sections in their order, also those that show nothing."""
    yield Section('Overview', [Part(notes=run.notes) for run in runs], Part([overview(runs)]))
    if len(runs) > 1:
        compared = _chart('all runs', charts.comparison_panels(runs), 3)
        yield Section('Differences', [], Part([config_table(runs)], compared))
    panels = [charts.section_panels(run) for run in runs]
    columns = 3 if len(runs) == 1 else 2
    for title in panels[0]:
        parts = [
            Part(pictures=_chart(f'{run.name}: {title}', of_run[title], columns))
            for run, of_run in zip(runs, panels, strict=True)
        ]
        has_metrics = title == 'Validation' and any(run.metrics() for run in runs)
        shared = Part([metrics_table(runs)] if has_metrics else [])
        yield Section(title, parts, shared)
    yield Section('Pictures', [_pictures_of(run) for run in runs])
    yield Section('Config', [Part(text=run.config_text) for run in runs])


def _chart(title: str, panels: list[charts.Panel], columns: int) -> list[Picture]:
    """Return the picture of some panels; none where there is no panel."""
    return [(title, _address(png_of(charts.panels_figure(panels, columns))))] if panels else []


def _pictures_of(run: Run) -> Part:
    """Return pictures in the work dir, such as of ``tools/figures.py``, and the log's newest."""
    beside = sorted(run.path.glob('*.png'))[:_MOST_BESIDE]
    logged = sorted(run.path.glob('*/vis_data/**/*.png'), key=lambda p: p.stat().st_mtime)
    found = [*beside, *logged[-_MOST_LOGGED:]]
    return Part(pictures=[(str(p.relative_to(run.path)), _address_of(p)) for p in found])


def _address_of(path: Path) -> str:
    """Return a PNG file as a ``data:`` address, a large one smaller and as JPEG."""
    data = path.read_bytes()
    if len(data) <= _MOST_BYTES:
        return _address(data)
    with Image.open(path) as picture:
        small = picture.convert('RGB')
    small.thumbnail((_MOST_WIDTH, 10 * _MOST_WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, 'JPEG', quality=85)
    return _address(buffer.getvalue(), 'jpeg')


def _address(data: bytes, kind: str = 'png') -> str:
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
