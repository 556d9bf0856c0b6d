"""One HTML page on trainings, finished or running: `tools/report.py WORK_DIR [WORK_DIR ...]`.

Curves of every loss by pass, AP, widths and scales drawn, time by pass, pictures, config and
versions; several work dirs side by side, with their differences. Takes seconds, and needs neither
the data nor a GPU, unless predictions are asked for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from mmgradaug.engine.arguments import add_number
from mmgradaug.engine.errors import one_line_errors, warn
from mmgradaug.engine.out_dir import make_out_file
from mmgradaug.reporting import read_runs, write_report


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('work_dirs', type=Path, nargs='+', metavar='WORK_DIR')
    parser.add_argument(
        '--out',
        type=Path,
        help='HTML file (default: report.html in the work dir; of several, beside the first)',
    )
    add_number(
        parser,
        '--predict',
        default=0,
        least=0,
        text='draw predictions of the last checkpoint on N validation images',
    )
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and say where it is; returns the exit status."""
    args = parse_args(argv)
    first = args.work_dirs[0]
    folder = first if len(args.work_dirs) == 1 else first.resolve().parent
    runs = read_runs(args.work_dirs)  # without them, no folder is made
    out = make_out_file('--out', args.out or folder / 'report.html', 'the page')
    failures = write_report(runs, out, args.predict, args.device)
    for failure in failures:
        warn(failure)
    print(f'{out} ({out.stat().st_size / 1e6:.1f} MB)')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
