"""Go through every config that the installed mmdet ships: `tools/coverage.py`.

Puts the slimmable backbone into each config whose backbone is a ResNet, ResNetV1d or ResNeXt and
loads the stock backbone's state dict strictly; then, for one config of each family, takes GradAug
steps and predicts on generated images. Prints the counts and writes docs/COVERAGE.md.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmdet
import torch
from rich.progress import track

import mmgradaug
from mmgradaug.engine.arguments import add_number
from mmgradaug.engine.errors import InputError, one_line_errors
from mmgradaug.engine.out_dir import make_out_file
from mmgradaug.evaluation.coverage import (
    SLIMMABLE,
    ShippedConfig,
    Swap,
    one_line,
    plainest_first,
    resnet_keys,
    shipped_configs,
    try_swap,
)
from mmgradaug.evaluation.family import CANVAS, LIMITS, SIZES, Trial, try_family
from mmgradaug.type_names import type_name

PAGE = Path('docs/COVERAGE.md')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument(
        '--only', nargs='+', metavar='FAMILY', help="families, also patterns such as 'dino*'"
    )
    add_number(parser, '--workers', default=1, least=1, text='processes')
    add_number(
        parser,
        '--memory',
        default=6,
        least=1,
        text='GiB that each process may take; a config that wants more fails',
    )
    parser.add_argument(
        '--out', type=Path, help=f'the page (default: {PAGE}; with --only it is not written)'
    )
    return parser.parse_args(argv)


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    """Try all configs, print the counts and write the page; returns the exit status."""
    args = parse_args(argv)
    out = args.out or (None if args.only else PAGE)
    if out is not None:
        make_out_file('--out', out, 'the page')
    read = track(shipped_configs(args.only or ['*']), 'reading configs', transient=True)
    configs = list(read)
    resnets = [c for c in configs if c.model is not None and resnet_keys(c.model)]
    if not resnets:
        raise InputError(f'no ResNet config in the families {", ".join(args.only or ["of mmdet"])}')
    set_up = partial(_set_up_worker, args.memory)
    with _processes(args.workers, set_up) as pool:
        results = pool.map(try_swap, resnets)
        swaps = list(track(results, 'swapping', total=len(resnets), transient=True))
    families = _families(resnets, swaps)
    trials = []
    with ThreadPoolExecutor(args.workers) as threads:
        rows = threads.map(partial(_try_apart, set_up), families)
        for trial in track(rows, 'training', total=len(families)):
            trials.append(trial)
            print(_trial_row(trial), flush=True)
    text = report(swaps, trials, [c for c in configs if c.model is None], args.memory)
    print('\n'.join(line for line in text.splitlines() if line.startswith('- ')))
    if out is not None:
        out.write_text(text)
        print(f'written to {out}')
    return 0


def _processes(workers: int, set_up: Callable[[], None]) -> ProcessPoolExecutor:
    """Processes that start with everything imported."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmdet.models', 'mmgradaug.evaluation.family'])
    return ProcessPoolExecutor(workers, context, initializer=set_up)


def _try_apart(set_up: Callable[[], None], configs: Sequence[ShippedConfig]) -> Trial:
    """Try a family in a process of its own, whose memory and whose end concern no other."""
    try:
        with _processes(1, set_up) as pool:
            return pool.submit(try_family, configs).result()
    except BrokenProcessPool as error:
        first = configs[0]
        detector = type_name(first.model.get('type'))
        return Trial(first.family, first.name, detector, '', one_line(error))


def _set_up_worker(memory: int) -> None:
    """No log of every weight's initialisation; an error instead of more memory than ``memory`` GiB.

    Other people's configs may ask for any amount, and the system would end the whole run.
    """
    logging.disable(logging.WARNING)
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, hard))


def _families(configs: Sequence[ShippedConfig], swaps: Sequence[Swap]) -> list[list[ShippedConfig]]:
    """The configs of each family that swapped, or all if none did."""
    families: dict[str, list[tuple[bool, ShippedConfig]]] = defaultdict(list)
    for config, swap in zip(configs, swaps, strict=True):
        families[config.family].append((swap.swapped, config))
    chosen = []
    for members in families.values():
        good = [config for swapped, config in members if swapped]
        chosen.append(plainest_first(good or [config for _, config in members]))
    return chosen


def report(
    swaps: Sequence[Swap],
    trials: Sequence[Trial],
    unread: Sequence[ShippedConfig],
    memory: int,
) -> str:
    """The page as Markdown; each family was allowed ``memory`` GiB."""
    trained = [t for t in trials if t.targets]
    distilled = [t for t in trained if t.targets == 'distilled']
    return '\n'.join(
        [
            '# What works with the configs that mmdet ships',
            '',
            'Written by `python tools/coverage.py`; do not edit.',
            '',
            f'mmgradaug {mmgradaug.__version__}, mmdet {mmdet.__version__}, torch '
            f'{torch.__version__}, {_scikit_learn()}.',
            '',
            f'- Backbone swap: {_swap_counts(swaps)}.',
            f'- GradAug training, one config a family: {len(trained)} of {len(trials)} families; '
            f'{len(distilled)} of them distil, the others train sub-networks on labels.',
            f'- Configs that mmdet itself cannot read here: {len(unread)}.',
            '',
            '## Training',
            '',
            'Two GradAug steps (n=2, widths from 0.8, scales 0.75 and 0.5) and a prediction on '
            f'generated images of {SIZES[0][0]} x {SIZES[0][1]} pixels, with the random weights '
            'of the stock backbone. Every loss is finite, and each sub-network gives a gradient to '
            'every parameter that the full network gives one to. RoI heads see '
            f'{LIMITS["num"]} RoIs an image, other detectors have up to {LIMITS["num_queries"]} '
            'queries, batches that a config pads or resizes to a size of its own get one of '
            f"{CANVAS[0]} x {CANVAS[1]} pixels, and of a family's configs the plainest is taken "
            'that mmdet itself trains here. Each is tried in a process of its own, with '
            f'{memory} GiB of memory.',
            '',
            '| family | config | detector | sub-networks learn from | remark |',
            '|---|---|---|---|---|',
            *map(_trial_row, trials),
            '',
            '## Configs that do not swap',
            '',
            *_reasons((s.config, s.reason) for s in swaps if not s.swapped),
            '## Configs that mmdet cannot read here',
            '',
            *_reasons((c.name, c.reason) for c in unread),
        ]
    )


def _reasons(rows: Iterable[tuple[str, str]]) -> list[str]:
    """A table of configs and reasons, or a word where there are none."""
    lines = [f'| `{name}` | {reason} |' for name, reason in rows]
    return [*(['| config | reason |', '|---|---|', *lines] if lines else ['None.']), '']


def _swap_counts(swaps: Sequence[Swap]) -> str:
    """How many configs swap, of all and of each kind of backbone."""

    def count(those: Sequence[Swap]) -> str:
        return f'{sum(s.swapped for s in those)} of {len(those)}'

    kinds = [[s for s in swaps if s.backbone == kind] for kind in SLIMMABLE]
    parts = [f'{count(those)} with a {those[0].backbone}' for those in kinds if those]
    return f'{count(swaps)} configs ({", ".join(parts)})'


def _scikit_learn() -> str:
    """Whether PAA and LAD find what they need, which mmdet does not install."""
    try:
        return f'scikit-learn {version("scikit-learn")}'
    except PackageNotFoundError:
        return 'without scikit-learn'


def _trial_row(trial: Trial) -> str:
    """A family's row."""
    targets = trial.targets or 'fails'
    return f'| {trial.family} | `{trial.config}` | {trial.detector} | {targets} | {trial.reason} |'


if __name__ == '__main__':
    sys.exit(main())
