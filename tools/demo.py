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
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction

from mmgradaug.datasets import make_nuclei
from mmgradaug.engine.checks import check_run
from mmgradaug.engine.cli import load_config, one_line_errors
from mmgradaug.engine.hooks.versions import versions
from mmgradaug.engine.run_log import Scalars, read_entries
from mmgradaug.engine.train import build_runner
from mmgradaug.visualization.curves import save_curves
from mmgradaug.visualization.predictions import save_predictions
from mmgradaug.visualization.subnets import picture_subnets

ROOT = Path(__file__).resolve().parent.parent
CONFIG = 'configs/mask_rcnn_r18_gradaug_nuclei.py'
WORK_DIR = 'work_dirs/mask_rcnn_r18_gradaug_nuclei'
NEXT_COMMAND = 'python tools/train.py configs/mask_rcnn_r50_gradaug_1x.py'


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    """Make the data, train, draw, summarise; returns the exit status."""
    args = parse_args(argv)
    os.chdir(ROOT)  # The configs name data and work folders relative to the repository.
    cfg = load_config(CONFIG, args.cfg_options)
    cfg.work_dir, cfg.launcher = str(args.work_dir), 'none'
    say(f'data: one fluorescence image with 125 labelled nuclei, as tiles, in {cfg.data_root}')
    make_nuclei(cfg.data_root)
    summary, pictures = train(cfg, Path(cfg.work_dir))
    conclude(cfg, summary, pictures)
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else '')
    add = parser.add_argument
    # A path is relative to where somebody types it, the default to the repository.
    add('--work-dir', type=os.path.abspath, default=Path(WORK_DIR), help='(default: %(default)s)')
    add('--cfg-options', nargs='+', action=DictAction, default={}, help='as of tools/train.py')
    return parser.parse_args(argv)


def say(text: str) -> None:
    """Print a line of the demo's own."""
    print(f'[demo] {text}', flush=True)


def train(cfg: Config, work_dir: Path) -> tuple[dict[str, Any], list[Path]]:
    """Train, draw and write ``summary.json``; returns the summary and the pictures."""
    options = cfg.model.gradaug
    say(
        f'training {CONFIG}: {cfg.train_cfg.max_epochs} epochs, each iteration the full network '
        f'and {options.num_subnets} sub-networks of width {options.min_width} to 1'
    )
    say('minutes left are in the log below as "eta" (hours:minutes:seconds)')
    check_run(cfg, ('train', 'val'))
    start = time.time()
    runner = build_runner(cfg)
    runner.train()
    seconds = time.time() - start
    scalars = Scalars.of(read_entries(Path(runner.log_dir) / 'vis_data/scalars.json'))
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    summary = {
        'bbox_mAP': scalars.last('bbox_mAP'),
        'segm_mAP': scalars.last('segm_mAP'),
        'seconds': round(seconds, 1),
        'num_subnets': options.num_subnets,
        'config': CONFIG,
        'seed': cfg.randomness.seed,
        'checkpoint': checkpoint.name,
        'cpu_count': os.cpu_count(),
        'torch_threads': torch.get_num_threads(),
        'versions': versions(),
    }
    (work_dir / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    say('drawing')
    name = 'Mask R-CNN R-18 with GradAug, nuclei'
    pictures = [work_dir / f'{what}.png' for what in ('curves', 'predictions', 'subnets')]
    save_curves(scalars, pictures[0], name)
    save_predictions(cfg, runner.model, pictures[1], title=f'{name}: validation tiles')
    picture_subnets(cfg, runner.model, [pictures[2]], title=name)
    return summary, pictures


def conclude(cfg: Config, summary: dict[str, Any], pictures: list[Path]) -> None:
    """Print what was trained, how well it does, where the pictures are, and what comes next."""
    options = cfg.model.gradaug
    minutes = summary['seconds'] / 60
    checkpoint, numbers = (
        os.path.relpath(Path(cfg.work_dir, name))
        for name in (summary['checkpoint'], 'summary.json')
    )
    say('done')
    print(f"""
trained   Mask R-CNN (ResNet-18, half as wide) with GradAug on 12 microscopy tiles
          the full network and {options.num_subnets} sub-networks an iteration,
          width {options.min_width} to 1, scales {options.transform.scales}; {minutes:.1f} minutes
result    box AP {summary['bbox_mAP']:.3f}, mask AP {summary['segm_mAP']:.3f}
          of the full network on the 4 validation tiles
weights   {checkpoint}
pictures  {', '.join(map(os.path.relpath, pictures))}
numbers   {numbers}

This shows the machinery at work; 12 tiles cannot show whether GradAug pays. What was measured
here is in docs/DISTILLATION.md; for COCO see the paper, Table 7.
Next, on COCO:
  {NEXT_COMMAND}""")


if __name__ == '__main__':
    sys.exit(main())
