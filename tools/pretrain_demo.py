"""The demo of classification: plain and GradAug training on a few real handwritten digits.

``make pretrain-demo`` runs this. It trains a small network several times each way, compares them,
draws what they see, publishes the backbone and puts it into a detector. It needs two CPU cores, ten
minutes, and pip's registry once, for two files of 1.4 and 3 MB. What is complete is not done again.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mmgradaug.datasets import WheelError, make_digits, make_nuclei
from mmgradaug.engine.arguments import add_number
from mmgradaug.engine.atomic import write_atomically
from mmgradaug.engine.console import print_rows, say
from mmgradaug.engine.errors import one_line_errors
from mmgradaug.engine.seed_runs import RunFailed, SeedRun, run_all
from mmgradaug.engine.versions import versions
from mmgradaug.evaluation.spread import Spread, difference, verdict
from mmgradaug.publishing import Cut, build_parent, open_source, publish_backbone
from mmgradaug.publishing.starting import start_detector
from mmgradaug.reporting.log_folders import find_log_folders, merge
from mmgradaug.visualization.activation_maps import save_activation_maps
from mmgradaug.visualization.classifier_pictures import first_of_each_class, maps_of
from mmgradaug.visualization.seeds import save_seed_curves

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {
    'baseline': 'configs/classification/resnet18_digits.py',
    'GradAug': 'configs/classification/resnet18_digits_gradaug.py',
}
FAST = {'GradAug fast': 'configs/classification/resnet18_digits_gradaug_fast.py'}
# Time of a step as a multiple of a plain one's, roughly: for the time that is left.
WORK = {'baseline': 1.0, 'GradAug': 3.3, 'GradAug fast': 3.3}
DETECTOR = 'configs/mask_rcnn_r18_gradaug_nuclei.py'
WORK_DIR = 'work_dirs/resnet18_digits_demo'
METRIC = 'accuracy/top1'
DETECTOR_STEPS = 3
NARROW = 0.8
PRETRAIN = 'python tools/pretrain.py configs/classification/resnet50_imagenet_gradaug.py'


@dataclass(frozen=True)
class Detector:
    """What became of the backbone in a detector.

    Attributes:
        init_cfg: The line of its config.
        matched: Entries of the backbone that hold the published values, which is all of them.
        losses: Of its first training steps; empty where its data cannot be had.
    """

    init_cfg: str
    matched: int
    losses: list[float]


@one_line_errors()
def main(argv: list[str] | None = None) -> int:
    """Make the data, train, compare, draw, publish; returns the exit status."""
    args = parse_args(argv)
    os.chdir(ROOT)  # The configs name data and work folders relative to the repository.
    work_dir = Path(args.work_dir)
    start = time.time()
    try:
        say('data: handwritten digits of MNIST in data/digits/')
        make_digits()
        ways = CONFIGS | (FAST if args.fast else {})
        runs = planned_runs(work_dir, ways, args.seeds, args.cfg_options)
        train(runs, args.jobs)
    except (WheelError, RunFailed) as error:
        print(f'pretrain_demo: {error}', file=sys.stderr)
        return 1
    accuracies = {name: [run.final[METRIC] for run in found] for name, found in runs.items()}
    say('drawing')
    pictures = draw(work_dir, runs)
    backbone = publish_backbone(
        open_source(runs['GradAug'][0].checkpoint), Cut(), work_dir / 'published', overwrite=True
    )
    say(f'loading the backbone into {DETECTOR}')
    detector = load_into_detector(backbone)
    summary = summarise(accuracies, runs, detector, backbone, time.time() - start)
    write_atomically(f'{json.dumps(summary, indent=2)}\n'.encode(), work_dir / 'summary.json')
    conclude(accuracies, summary, pictures, work_dir)
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    # A path is relative to where somebody types it, the default to the repository.
    parser.add_argument(
        '--work-dir', type=os.path.abspath, default=Path(WORK_DIR), help='(default: %(default)s)'
    )
    add_number(parser, '--seeds', default=3, least=1, text='of the draw of labels and of weights')
    jobs = min(2, os.cpu_count() or 1)
    add_number(parser, '--jobs', default=jobs, least=1, text='trainings at a time')
    parser.add_argument(
        '--fast', action='store_true', help='GradAug with few shapes of convolutions, too'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='of all trainings, as of tools/train.py',
    )
    return parser.parse_args(argv)


# ------------------------------------------------------------------ training


def planned_runs(
    work_dir: Path, ways: dict[str, str], seeds: int, options: Sequence[str] = ()
) -> dict[str, list[SeedRun]]:
    """The trainings of each way; those with the same seed see the same labels."""
    return {
        name: [
            SeedRun(
                name=f'{name} seed {seed}',
                config=config,
                options=(*seed_options(seed), *options),
                work_dir=work_dir / f'{name.lower().replace(" ", "_")}_seed{seed}',
                work=WORK[name],
            )
            for seed in range(seeds)
        ]
        for name, config in ways.items()
    }


def seed_options(seed: int) -> tuple[str, str]:
    """What a seed draws: weights, batches and sub-networks, and the images that have labels."""
    return f'randomness.seed={seed}', f'train_dataloader.dataset.subset_seed={seed}'


def train(runs: dict[str, list[SeedRun]], jobs: int) -> None:
    """Train what is not complete, the long trainings first."""
    ordered = sorted((run for found in runs.values() for run in found), key=lambda r: -r.work)
    todo = sum(not run.is_done for run in ordered)
    cores = os.cpu_count() or 1
    threads = max(1, cores // jobs)
    say(f'{len(ordered)} trainings, {todo} of them to do, {jobs} at a time with {threads} threads')
    run_all(ordered, ROOT / 'tools/pretrain.py', jobs, threads, say)


# ------------------------------------------------------------------ pictures


def draw(work_dir: Path, runs: dict[str, list[SeedRun]]) -> list[Path]:
    """Draw curves and class activation maps; returns their paths."""
    logs = {name: [merge(find_log_folders(r.work_dir)) for r in rs] for name, rs in runs.items()}
    title = 'ResNet-18, half as wide, on few labelled digits (thin: one seed, thick: the mean)'
    curves = save_seed_curves(logs, work_dir / 'curves.png', title=title)
    return [curves, draw_maps(work_dir / 'activation_maps.png', runs)]


def draw_maps(path: Path, runs: dict[str, list[SeedRun]]) -> Path:
    """Draw what the first seed's networks see in the first validation image of each digit."""
    plain, _ = build_parent(open_source(runs['baseline'][0].checkpoint), Cut())
    source = open_source(runs['GradAug'][0].checkpoint)
    full, cfg = build_parent(source, Cut())
    # Training keeps no statistics of sub-networks: they are averaged over training images.
    narrow, _ = build_parent(source, Cut(NARROW, images=100))
    pixels, labels, names = first_of_each_class(cfg)
    networks = [
        maps_of('baseline', plain, pixels, labels),
        maps_of('GradAug', full, pixels, labels),
        maps_of(f'GradAug, sub-\nnetwork {NARROW}', narrow, pixels, labels, NARROW),
    ]
    return save_activation_maps(
        pixels[:, 0].numpy(),
        labels.tolist(),
        networks,
        path,
        names,
        title='What speaks for the right digit (class activation maps), and the digit that is '
        'predicted',
    )


# ------------------------------------------------------------------ the backbone changes hands


def load_into_detector(backbone: Path) -> Detector:
    """Build the detector with the published weights, compare every one, and train a few steps.

    Raises:
        FileNotFoundError, ValueError: If the weights are not there or do not fit.
        RuntimeError: If the detector's backbone holds other values.
    """
    cfg = Config.fromfile(DETECTOR)
    init_cfg = dict(type='Pretrained', checkpoint=str(backbone))
    cfg.model.backbone.init_cfg = init_cfg
    detector, matched = start_detector(cfg, backbone)
    return Detector(f'model.backbone.init_cfg={init_cfg}', matched, first_losses(cfg, detector))


def first_losses(cfg: Config, detector: Any) -> list[float]:
    """Losses of the detector's first training steps; none where its data cannot be had."""
    try:
        make_nuclei(cfg.data_root)
    except WheelError as error:
        say(f'no training steps of the detector: {error}')
        return []
    torch.manual_seed(0)
    optim_wrapper = build_optim_wrapper(detector.train(), cfg.optim_wrapper)
    batches = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    logs = [detector.train_step(next(batches), optim_wrapper) for _ in range(DETECTOR_STEPS)]
    return [float(log['loss']) for log in logs]


# ------------------------------------------------------------------ what came out


def summarise(
    accuracies: dict[str, list[float]],
    runs: dict[str, list[SeedRun]],
    detector: Detector,
    backbone: Path,
    seconds: float,
) -> dict[str, Any]:
    """What ``summary.json`` holds."""
    spreads = {name: Spread(tuple(values)) for name, values in accuracies.items()}
    cfg = Config.fromfile(runs['GradAug'][0].config)
    return {
        METRIC: {name: spread.to_dict() for name, spread in spreads.items()},
        'difference': difference(spreads['GradAug'], spreads['baseline']).to_dict(),
        'verdict': verdict(accuracies, 'GradAug', 'baseline'),
        'seeds': len(accuracies['GradAug']),
        'epoch': runs['GradAug'][0].final['step'],
        'labels_per_class': cfg.train_dataloader.dataset.labels_per_class,
        'num_subnets': cfg.model.gradaug.num_subnets,
        'configs': {name: found[0].config for name, found in runs.items()},
        'options': list(runs['GradAug'][0].options[2:]),
        'backbone': str(backbone),
        'detector': {
            'config': DETECTOR,
            'matched_entries': detector.matched,
            'option': detector.init_cfg,
            'first_losses': detector.losses,
        },
        'seconds_of_this_call': round(seconds, 1),
        'cpu_count': os.cpu_count(),
        'versions': versions(),
    }


def conclude(
    accuracies: dict[str, list[float]],
    summary: dict[str, Any],
    pictures: list[Path],
    work_dir: Path,
) -> None:
    """Print the comparison, where everything is, and what comes next."""
    found = {name: Spread(tuple(values)) for name, values in accuracies.items()}
    gap = difference(found['GradAug'], found['baseline'])
    labels, detector = summary['labels_per_class'], summary['detector']
    say('done\n')
    print_rows([
        ('trained', f'ResNet-18 (half as wide) on {labels} labelled digits of each class,'),
        ('', f'{summary["seeds"]} seeds, baseline and GradAug; {summary["epoch"]} epochs each'),
        *((('top-1 / %' if not i else ''), f'{name:12} {spread}   ({values(spread)})')
          for i, (name, spread) in enumerate(found.items())),
        ('', f'GradAug - baseline, by seed: {gap}   ({values(gap)})'),
        ('', f'{summary["verdict"]}; the final epoch, mean ± standard deviation'),
        ('backbone', summary['backbone']),
        ('', f'all {detector["matched_entries"]} of its entries are in {detector["config"]}'),
        ('', f'by {detector["option"]}'),
        *([('', 'first losses there: ' + ', '.join(f'{v:.2f}' for v in detector['first_losses']))]
          if detector['first_losses'] else []),
        ('pictures', str(pictures[0])),
        *(('', str(path)) for path in pictures[1:]),
        ('numbers', str(work_dir / 'summary.json')),
    ])  # fmt: skip
    print(
        '\nA few seeds on one small data set: this shows that the tool works and what it gives '
        'here, not\nwhat GradAug gives elsewhere. The paper fine-tunes ImageNet backbones on COCO.'
    )
    print(f'Next, on ImageNet:\n  {PRETRAIN}', flush=True)


def values(spread: Spread) -> str:
    """All values, for people."""
    return ', '.join(f'{value:.2f}' for value in spread.values)


if __name__ == '__main__':
    sys.exit(main())
