"""Does GradAug pay? The runs, tables and pictures of docs/STUDY.md: `tools/study.py`.

What is recorded in docs/study/ or complete in the work dir is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STUDY = Path('docs/study')
COST = STUDY / 'cost.json'
SIZES = {  # what steps are measured with
    'wrn': '--size 28 28 --batch 32',
    'resnet18_': '--size 48 48 --batch 32',
    'mask_rcnn': '--size 128 160 --batch 4',
}
SEEDS = {'classification': 10, 'detection': 5}
PILOT = (100, 101)  # which do not count


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('--part', nargs='+', metavar='ID', help='of rows, or their beginnings (default: all)')
    add('--seeds', type=int, metavar='N', help=f'0 to N - 1 (default: {SEEDS})')
    add('--pilot', nargs='*', metavar='KEY=VALUE', help='pilot seeds instead, with options')
    add('--cost', action='store_true', help='measure what steps cost anew, and nothing else')
    add('--report', action='store_true', help='write docs/STUDY.md anew, and nothing else')
    add('--jobs', type=int, default=os.cpu_count() or 1, metavar='N', help='runs at a time')
    add('--work-dir', type=Path, default=Path('work_dirs/study'), help='(default: %(default)s)')
    args = parser.parse_args(argv)
    from mmgradaug.engine.cli import make_output_dir, one_line_errors  # takes seconds
    from mmgradaug.reproduction.rows import read_rows, select_rows

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs are stopped, too
    with one_line_errors():
        rows = read_rows(STUDY / 'rows.csv')
        chosen = select_rows(rows, args.part) if args.part else list(rows.values())
        make_output_dir(args.work_dir, '--work-dir')
        if not args.cost and not args.report:
            run(chosen, args)
        if args.pilot is None and not args.report:
            measure_costs(chosen, anew=args.cost)
        report(rows.values(), args.work_dir)


def say(text: str) -> None:
    print(f'[study] {text}', flush=True)


def seeds_of(row: Any) -> int:
    return SEEDS[row.id.partition('/')[0]]


def run(rows: Sequence[Any], args: argparse.Namespace) -> None:
    """Run what is not recorded, seed by seed, so that what is complete is paired."""
    from mmgradaug.reproduction.rows import key_of, read_records
    from mmgradaug.reproduction.runner import plan_runs, run_all

    pilot, tools = args.pilot is not None, Path(__file__).absolute().parent
    records = STUDY / ('pilots.jsonl' if pilot else 'records.jsonl')
    done = set(map(key_of, read_records([records])))
    runs = []
    for row in rows:
        seeds = PILOT if pilot else range(args.seeds or seeds_of(row))
        runs += plan_runs(row, seeds, args.work_dir, args.pilot or ())
    pretraining = [r for r in runs if '/pretrain/' in r.row.id]
    others = [r for r in runs if '/pretrain/' not in r.row.id and r.key not in done]
    run_all(pretraining, tools, records, say, args.jobs)
    for one in pretraining:  # fine-tuning takes it by row and seed
        link = args.work_dir / f'{one.row.id.replace("/", "_")}_seed{one.seed}.pth'
        link.unlink(missing_ok=True)
        link.symlink_to(one.checkpoint)
    run_all(sorted(others, key=lambda run: run.seed), tools, records, say, args.jobs)


def measure_costs(rows: Sequence[Any], anew: bool) -> None:
    """Measure the steps of all variants of each config in turn, unless all are known."""
    from mmengine.config import Config

    from mmgradaug.reproduction.study import variant

    for config in dict.fromkeys(row.config for row in rows):
        if 'gradaug' not in Config.fromfile(config).model:
            continue
        variants = sorted({variant(row) for row in rows if row.config == config} - {''})
        known = read_steps().get(config, {})
        if not anew and all(f'GradAug, {name}' in known for name in variants) and known:
            continue
        size = next(value for part, value in SIZES.items() if part in config)
        out = Path('work_dirs/study/step_cost.json')
        command = [sys.executable, 'tools/benchmark.py', config, *size.split(), '--rounds', '15']
        command += ['--memory-rounds', '1', '--out', str(out), '--variants', *variants]
        subprocess.run(command, check=True)
        COST.write_text(json.dumps(read_steps() | {config: json.loads(out.read_text())}) + '\n')


def read_steps() -> Any:
    return json.loads(COST.read_text()) if COST.exists() else {}


def report(rows: Any, work_dir: Path) -> None:
    from mmgradaug.reproduction.rows import read_records
    from mmgradaug.reproduction.runner import plan_runs
    from mmgradaug.reproduction.study import read_settings, write_study

    runs = [run for row in rows for run in plan_runs(row, range(seeds_of(row)), work_dir)]
    records = read_records([STUDY / 'records.jsonl'])
    write_study(read_settings(runs, records, read_steps()), Path('docs'))
    say('docs/STUDY.md')


if __name__ == '__main__':
    main()
