"""One HTML page on trainings, finished or running: `tools/report.py WORK_DIR [WORK_DIR ...]`.

Curves of every loss by pass, AP, widths and scales drawn, time by pass, pictures and config;
several work dirs side by side, with their differences. Takes seconds, and needs neither the data
nor a GPU. Predictions: `tools/figures.py detections` with `--out WORK_DIR` before.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('work_dirs', type=Path, nargs='+', metavar='WORK_DIR')
    add('--out', type=Path, help='file (default: report.html in the work dir, or beside several)')
    args = parser.parse_args(argv)
    from mmgradaug.engine.cli import make_output_dir, one_line_errors  # takes seconds
    from mmgradaug.reporting.page import write_report
    from mmgradaug.reporting.run import read_runs

    with one_line_errors():
        first = args.work_dirs[0]
        folder = first if len(args.work_dirs) == 1 else first.resolve().parent
        runs = read_runs(args.work_dirs)
        out = args.out or folder
        out = out / 'report.html' if out.is_dir() else out
        make_output_dir(out.parent)
        write_report(runs, out)
        print(f'{out} ({out.stat().st_size / 1e6:.1f} MB)')


if __name__ == '__main__':
    main()
