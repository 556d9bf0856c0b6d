"""The demo: train Mask R-CNN with GradAug on real microscopy images, and show what came out.

``make demo`` runs this. It needs two CPU cores, ten minutes, and pip's registry once, for an image
in a file of 3 MB.
"""

from __future__ import annotations

import os

# Threads that wait for each other sleep instead of spinning: on cores that others use too, a step
# is several times faster so. It has to be set before torch is imported.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from mmgradaug.datasets import make_nuclei
from mmgradaug.engine.console import print_rows, say
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.hooks.versions import versions
from mmgradaug.engine.run_log import Scalars, read_scalars
from mmgradaug.engine.train import train_main
from mmgradaug.visualization.curves import save_curves
from mmgradaug.visualization.run_pictures import load_run, picture_predictions, picture_subnets

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/mask_rcnn_r18_gradaug_nuclei.py'
WORK_DIR = 'work_dirs/mask_rcnn_r18_gradaug_nuclei'
DATA = 'data/nuclei'
NEXT_COMMAND = 'python tools/train.py configs/mask_rcnn_r50_gradaug_1x.py'


@dataclass(frozen=True)
class Outcome:
    """What a demo run gave.

    Attributes:
        bbox_map: Box AP (IoU 0.50 to 0.95) of the last validation.
        segm_map: Mask AP of the last validation.
        seconds: From the start of training to its end.
        checkpoint: The last checkpoint.
    """

    bbox_map: float
    segm_map: float
    seconds: float
    checkpoint: Path


def main(argv: list[str] | None = None) -> int:
    """Make the data, train, draw, summarise; returns the exit status."""
    args = parse_args(argv)
    os.chdir(ROOT)  # The configs name data and work folders relative to the repository.
    say(f'data: one fluorescence image with 125 labelled nuclei, as tiles, in {DATA}/')
    with one_line_errors():
        make_nuclei(DATA)
    config = config_with(args.cfg_options)
    work_dir = Path(args.work_dir)
    describe(config)
    scalars, outcome = train(work_dir, args.cfg_options)
    write_summary(work_dir, config, outcome)
    pictures = draw(work_dir, config, outcome, scalars)
    conclude(config, outcome, work_dir, pictures)
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else '')
    # A path is relative to where somebody types it, the default to the repository.
    parser.add_argument(
        '--work-dir', type=os.path.abspath, default=Path(WORK_DIR), help='(default: %(default)s)'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='as of tools/train.py'
    )
    return parser.parse_args(argv)


def config_with(cfg_options: list[str]) -> Config:
    """The demo's config, with options of the command line merged in."""
    config = Config.fromfile(CONFIG)
    if cfg_options:
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        config.merge_from_dict(parser.parse_args(['--cfg-options', *cfg_options]).cfg_options)
    return config


def describe(config: Config) -> None:
    """Say what is going to be trained."""
    options = config.model.gradaug
    say(
        f'training {CONFIG}: {config.train_cfg.max_epochs} epochs, each iteration the full network '
        f'and {options.num_subnets} sub-networks of width {options.min_width} to 1'
    )
    say('minutes left are in the log below as "eta" (hours:minutes:seconds)')


def train(work_dir: Path, cfg_options: list[str]) -> tuple[Scalars, Outcome]:
    """Train by the entry of tools/train.py; returns the log and what it says at its end."""
    command = [CONFIG, '--work-dir', str(work_dir)]
    if cfg_options:
        command += ['--cfg-options', *cfg_options]
    start = time.time()
    train_main(command)
    seconds = time.time() - start
    scalars = read_scalars(newest_log(work_dir, start))
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    values = [scalars.last(name) for name in ('bbox_mAP', 'segm_mAP')]
    if None in values:
        raise RuntimeError(
            f'no bbox_mAP and segm_mAP in the log of {work_dir}: expected a validation after the '
            'last epoch; check train_cfg.val_interval'
        )
    box, mask = (float(value) for value in values if value is not None)
    return scalars, Outcome(box, mask, seconds, checkpoint)


def newest_log(work_dir: Path, since: float) -> Path:
    """The scalars of the run that started at ``since`` (seconds since 1970)."""
    logs = [p for p in work_dir.glob('*/vis_data/scalars.json') if p.stat().st_mtime >= since]
    if not logs:
        raise FileNotFoundError(
            f'{work_dir}/*/vis_data/scalars.json: expected the log of the run that just ended, '
            'found none; vis_backends needs LocalVisBackend'
        )
    return max(logs, key=lambda path: path.stat().st_mtime)


def write_summary(work_dir: Path, config: Config, outcome: Outcome) -> None:
    """Write ``summary.json``."""
    summary: dict[str, Any] = {
        'bbox_mAP': outcome.bbox_map,
        'segm_mAP': outcome.segm_map,
        'seconds': round(outcome.seconds, 1),
        'num_subnets': config.model.gradaug.num_subnets,
        'config': CONFIG,
        'seed': config.randomness.seed,
        'checkpoint': outcome.checkpoint.name,
        'cpu_count': os.cpu_count(),
        'torch_threads': torch.get_num_threads(),
        'versions': versions(),
    }
    (work_dir / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')


def draw(work_dir: Path, config: Config, outcome: Outcome, scalars: Scalars) -> list[Path]:
    """Draw the pictures from the log and the checkpoint; returns their paths."""
    say('drawing')
    run = load_run(config, outcome.checkpoint)
    name = 'Mask R-CNN R-18 with GradAug, nuclei'
    return [
        save_curves(scalars, work_dir / 'curves.png', title=name),
        picture_predictions(run, work_dir / 'predictions.png', title=f'{name}: validation tiles'),
        picture_subnets(run, work_dir / 'subnets.png', title=f'{name}: one training iteration'),
    ]


def conclude(config: Config, outcome: Outcome, work_dir: Path, pictures: list[Path]) -> None:
    """Print what was trained, how well it does, where the pictures are, and what comes next."""
    options = config.model.gradaug
    scales = ', '.join(str(scale) for scale in options.transform.scales)
    rows = [
        ('trained', 'Mask R-CNN (ResNet-18, half as wide) with GradAug on 12 microscopy tiles'),
        ('', f'the full network and {options.num_subnets} sub-networks an iteration,'),
        (
            '',
            f'width {options.min_width} to 1, scales {scales}; {outcome.seconds / 60:.1f} minutes',
        ),
        ('result', f'box AP {outcome.bbox_map:.3f}, mask AP {outcome.segm_map:.3f}'),
        ('', 'of the full network on the 4 validation tiles'),
        ('weights', os.path.relpath(outcome.checkpoint)),
        ('pictures', str(pictures[0])),
        *(('', str(path)) for path in pictures[1:]),
        ('numbers', str(work_dir / 'summary.json')),
    ]
    say('done\n')
    print_rows(rows)
    print(
        '\nThis shows the machinery at work; 12 tiles cannot show whether GradAug pays. What was '
        'measured\nhere is in docs/DISTILLATION.md; for COCO see the paper, Table 7.'
    )
    print(f'Next, on COCO:\n  {NEXT_COMMAND}', flush=True)


if __name__ == '__main__':
    sys.exit(main())
