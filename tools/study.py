"""Does GradAug pay? The runs, tables and pictures of docs/STUDY.md: `tools/study.py`.

What is recorded in docs/study/ or complete in the work dir is not run again.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

STUDY = Path('docs/study')
COST = STUDY / 'cost.json'  # measured where it lacks a row's; delete it to measure anew
BATCHES = {  # of images, by config
    'wrn': '--size 28 28 --batch 32',
    'resnet18': '--size 48 48 --batch 32',
    'mask_rcnn': '--size 128 160 --batch 4',
}
PILOT = (100, 101)  # seeds that do not count


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('--part', nargs='+', metavar='ID', help='of rows, or their beginnings (default: all)')
    add('--seeds', type=int, metavar='N', help='the first of each row (default: all it has)')
    only = parser.add_mutually_exclusive_group().add_argument
    only('--pilot', nargs='*', metavar='KEY=VALUE', help='pilot seeds, with options, and no more')
    only('--report', action='store_true', help='write docs/STUDY.md anew, and no more')
    cores = len(os.sched_getaffinity(0))
    add('--jobs', type=int, default=cores, metavar='N', help='runs at a time')
    add('--work-dir', type=Path, default=Path('work_dirs/study'), help='(default: %(default)s)')
    args = parser.parse_args(argv)
    from mmgradaug.engine.cli import make_output_dir, one_line_errors  # takes seconds
    from mmgradaug.reproduction.rows import read_records, read_rows, select_rows
    from mmgradaug.reproduction.runner import plan_runs
    from mmgradaug.reproduction.study import read_settings, write_study

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs are stopped, too
    with one_line_errors():
        rows = read_rows(STUDY / 'rows.csv')
        chosen = select_rows(rows, args.part) if args.part else list(rows.values())
        if not args.report:
            make_output_dir(args.work_dir, '--work-dir')
            if args.pilot is None:  # the report has those of all rows
                for config in dict.fromkeys(row.config for row in rows.values()):
                    measure_costs([row for row in rows.values() if row.config == config])
            run(chosen, rows, args)
        if args.pilot is None:
            plans = (plan_runs(r, r.all_seeds, args.work_dir, rows=rows) for r in rows.values())
            runs = [planned for plan in plans for planned in plan]
            records = read_records([STUDY / 'records.jsonl'])
            steps = json.loads(COST.read_text()) if COST.exists() else {}
            write_study(read_settings(runs, records, steps), Path('docs'))
            print('docs/STUDY.md')


def run(chosen: Sequence[Any], rows: Mapping[str, Any], args: argparse.Namespace) -> None:
    """Run what is not recorded, seed by seed, so that what is complete is paired.

    Backbones that are to be fine-tuned are trained before, and again where they were recorded on
    another machine.
    """
    from mmgradaug.reproduction.rows import read_records
    from mmgradaug.reproduction.runner import plan_runs, run_all

    records = STUDY / ('records.jsonl' if args.pilot is None else 'pilots.jsonl')
    done = {record['hash'] for record in read_records([records])}  # of any row
    runs = []
    for row in chosen:
        seeds = row.all_seeds[: args.seeds] if args.pilot is None else PILOT
        runs += plan_runs(row, seeds, args.work_dir, args.pilot or (), rows=rows)
    todo = sorted((r for r in runs if r.hash not in done), key=lambda run: run.seed)
    first = {r.needs.work_dir: r.needs for r in todo if r.needs and r.needs.todo}
    for part in filter(None, (list(first.values()), todo)):
        run_all(part, Path(__file__).absolute().parent, records, args.jobs)


def measure_costs(rows: Sequence[Any]) -> None:
    """Measure the steps of a config's rows in turn, if there is one that is not measured."""
    from mmengine.config import Config

    from mmgradaug.reproduction.study import variant

    config, steps = rows[0].config, json.loads(COST.read_text()) if COST.exists() else {}
    variants = sorted({variant(row) for row in rows} - {''})
    wanted = {'GradAug', *(f'GradAug, {words}' for words in variants)}
    if 'gradaug' not in Config.fromfile(config).model or wanted <= steps.get(config, {}).keys():
        return
    batch = next(words for part, words in BATCHES.items() if part in config)
    rounds = '--rounds 15 --warmup 15 --same-draws --memory-rounds 1 --device cpu'
    command = [sys.executable, 'tools/benchmark.py', config, *batch.split(), *rounds.split()]
    command += ['--variants', *variants] if variants else []
    with TemporaryDirectory() as folder:
        out = Path(folder, 'steps.json')
        env = os.environ | {'OMP_NUM_THREADS': '1'}
        subprocess.run([*command, '--out', str(out)], check=True, env=env)
        steps[config] = json.loads(out.read_text())
    COST.write_text(json.dumps(steps, indent=1) + '\n')


if __name__ == '__main__':
    main()
