"""The paper's tables and figures: `tools/repro.py list|run|smoke|report`.

An ID is a row, such as T3/wrn28-10/gradaug, or the beginning of several: T3, T3/wrn28-10.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECORDS = Path('docs/results')


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    text = 'the rows: paper, README, measured, cost, data'
    commands.add_parser('list', help=text).add_argument('ids', nargs='*', metavar='ID')
    one = commands.add_parser('run', help='train, evaluate and record; trainings go on')
    add = one.add_argument
    add('ids', nargs='+', metavar='ID')
    for name, text in {'seeds': '0 to N - 1', 'jobs': 'runs at a time', 'gpus': 'a run'}.items():
        add(f'--{name}', type=int, default=1, metavar='N', help=f'{text} (default: 1)')
    add('--work-dir', type=Path, default=Path('work_dirs/repro'), help='(default: %(default)s)')
    text = 'file that gets a line for each run (default: %(default)s)'
    add('--records', type=Path, default=RECORDS / 'records.jsonl', help=text)
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='see train.py')
    one = commands.add_parser('smoke', help='the same, tiny and on generated images')
    add = one.add_argument
    add('ids', nargs='*', metavar='ID')
    add('--all', action='store_true', help='every row')
    cores = len(os.sched_getaffinity(0))
    add('--jobs', type=int, default=cores, metavar='N', help='rows at a time')
    add('--work-dir', type=Path, default=Path('work_dirs/smoke'), help='(default: %(default)s)')
    commands.add_parser('report', help=f'write docs/RESULTS.md from the records in {RECORDS}/')
    args = parser.parse_args(argv)
    if args.command == 'smoke' and args.all == bool(args.ids):
        one.error('give IDs, or --all')
    from mmgradaug.engine.cli import make_output_dir, one_line_errors  # takes seconds
    from mmgradaug.reproduction.rows import read_records, read_rows, select_rows, write_results
    from mmgradaug.reproduction.runner import plan_runs, run_all
    from mmgradaug.reproduction.smoke import plan_smoke

    tools = Path(__file__).absolute().parent
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs are stopped, too
    with one_line_errors():
        work_dir = make_output_dir(args.work_dir, '--work-dir') if 'work_dir' in args else Path()
        rows = read_rows()
        chosen = select_rows(rows, args.ids) if vars(args).get('ids') else list(rows.values())
        measured = read_records(sorted(RECORDS.glob('*.jsonl')))
        if args.command == 'list':
            print_rows(chosen, measured)
        elif args.command == 'report':
            write_results(rows.values(), measured, Path('docs'))
            print('docs/RESULTS.md\ndocs/results.csv')
        elif args.command == 'smoke':
            (records := work_dir / 'records.jsonl').unlink(missing_ok=True)
            runs = [plan_smoke(row, work_dir / row.id.replace('/', '_')) for row in chosen]
            run_all(runs, tools, records, args.jobs)
        else:
            options = (range(args.seeds), work_dir, args.cfg_options, args.gpus)
            runs = [run for row in chosen for run in plan_runs(row, *options)]
            run_all(runs, tools, args.records, args.jobs)


def print_rows(rows: Sequence[Any], records: Sequence[Any]) -> None:
    from mmgradaug.reproduction.rows import lines_of

    for row in rows:
        print(row.id + "  (not the paper's)" * row.id.startswith('more/'))
        for _, metrics, paper, readme, value, seeds, command in lines_of(row, records):
            told = {'paper': paper, 'README': readme, f'measured, {seeds} seeds': value}
            words = [f'{name} {text}' for name, text in told.items() if text]
            print('   ', '; '.join([metrics, *words]) + f'\n     {command}' * bool(value))
        hours = f'{row.hours} GPU hours ({row.basis})' * bool(row.hours)
        texts = (row.config, row.options, row.evaluation, row.data, hours, row.note)
        for text in filter(None, texts):
            print('    ', text)


if __name__ == '__main__':
    main()
