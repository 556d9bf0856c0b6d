"""The demo of classification: plain and GradAug training on a few real handwritten digits.

``make pretrain-demo`` runs this. It trains a small network several times each way, compares them,
draws what they see, publishes the backbone and puts it into a detector. It needs two CPU cores, ten
minutes, and pip's registry once, for a file of 1.4 MB. What is complete is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from pathlib import Path
from typing import Any

from mmengine.config import Config

ROWS = {'baseline': 'more/digits/baseline', 'GradAug': 'more/digits/gradaug'}  # of tools/repro.py
DETECTOR = 'configs/mask_rcnn_r18_gradaug_nuclei.py'
METRIC = 'accuracy/top1'
NARROW = 0.8


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    default = Path('work_dirs/resnet18_digits_demo')
    add('--work-dir', type=Path, default=default, help='(default: %(default)s)')
    add('--seeds', type=int, default=3, help='of the draw of labels and of weights')
    jobs = min(2, os.cpu_count() or 1)
    add('--jobs', type=int, default=jobs, help='trainings at a time')
    text = 'of all trainings, as of tools/train.py'
    add('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help=text)
    args = parser.parse_args(argv)
    from mmgradaug.engine.cli import one_line_errors  # this takes seconds

    with one_line_errors():
        run_demo(args, args.work_dir)


def run_demo(args: argparse.Namespace, work_dir: Path) -> None:
    """Make the data, train, compare, draw, publish."""
    from mmgradaug.datasets import make_digits
    from mmgradaug.engine.atomic import write_atomically
    from mmgradaug.engine.checks import check_model
    from mmgradaug.engine.cli import make_output_dir
    from mmgradaug.engine.weight_check import check_pretrained
    from mmgradaug.publishing.publish import publish_backbone
    from mmgradaug.publishing.source import Cut, open_source
    from mmgradaug.reproduction.rows import read_rows
    from mmgradaug.reproduction.runner import plan_runs, run_all

    say('data: handwritten digits of MNIST in data/digits/')
    make_digits()
    make_output_dir(work_dir, '--work-dir')
    rows = {name: read_rows()[row] for name, row in ROWS.items()}
    options = range(args.seeds), work_dir, args.cfg_options
    runs = {name: plan_runs(row, *options) for name, row in rows.items()}
    longest_first = [*runs['GradAug'], *runs['baseline']]
    tools, records = Path(__file__).absolute().parent, work_dir / 'records.jsonl'
    run_all(longest_first, tools, records, args.jobs)
    say('drawing')
    pictures = draw(work_dir, runs)
    first = runs['GradAug'][0]
    backbone = publish_backbone(open_source(first.checkpoint), Cut(), work_dir / 'published')
    init_cfg = dict(type='Pretrained', checkpoint=str(backbone))
    say(f'loading the backbone into {DETECTOR}')
    detector_cfg = Config.fromfile(DETECTOR)
    detector_cfg.model.backbone.init_cfg = init_cfg
    detector = check_model(detector_cfg)
    check_pretrained(detector)
    detector.init_weights()
    values = {name: [r.record()['final'][METRIC] for r in rs] for name, rs in runs.items()}
    gap = [a - b for a, b in zip(values['GradAug'], values['baseline'], strict=True)]
    cfg = Config.fromfile(first.work_dir / Path(first.row.config).name)
    summary: dict[str, Any] = {
        METRIC: {name: spread_of(by_seed) for name, by_seed in values.items()},
        'difference': spread_of(gap),
        'verdict': f'GradAug is better with {sum(v > 0 for v in gap)} of {args.seeds} seeds',
        'seeds': args.seeds,
        'epoch': cfg.train_cfg.max_epochs,
        'labels_per_class': cfg.train_dataloader.dataset.labels_per_class,
        'configs': {name: row.config for name, row in rows.items()},
        'backbone': str(backbone),
        'detector': {
            'config': DETECTOR,
            'matched_entries': len(detector.backbone.state_dict()),
            'option': f'model.backbone.init_cfg={init_cfg}',
        },
    }
    write_atomically(f'{json.dumps(summary, indent=2)}\n'.encode(), work_dir / 'summary.json')
    conclude(summary, [*pictures, work_dir / 'summary.json'])


def say(text: str) -> None:
    print(f'[demo] {text}', flush=True)


def spread_of(values: list[float]) -> dict[str, Any]:
    """Return mean, standard deviation (None of one value) and values by seed."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return {'mean': statistics.fmean(values), 'std': std, 'by_seed': values}


def draw(work_dir: Path, runs: dict[str, list[Any]]) -> list[Path]:
    """Report the first seed's runs, and draw what they see in each digit; returns the paths."""
    from mmgradaug.publishing.source import Cut, load_trained_model, open_source
    from mmgradaug.reporting.page import write_report
    from mmgradaug.reporting.run import read_runs
    from mmgradaug.visualization.class_activation import save_activation_maps

    report = work_dir / 'report.html'
    write_report(read_runs([rs[0].work_dir for rs in runs.values()]), report)
    plain, _ = load_trained_model(open_source(runs['baseline'][0].checkpoint), Cut())
    source = open_source(runs['GradAug'][0].checkpoint)
    full, cfg = load_trained_model(source, Cut())
    # Training keeps no statistics of sub-networks: they are averaged over training images.
    narrow, _ = load_trained_model(source, Cut(NARROW, images=100))
    networks = {
        'baseline': (plain, 1.0),
        'GradAug': (full, 1.0),
        f'GradAug, sub-\nnetwork {NARROW}': (narrow, NARROW),
    }
    title = 'What speaks for the right digit (class activation maps), and the predicted digit'
    maps = save_activation_maps(networks, cfg, work_dir / 'activation_maps.png', title)
    return [report, maps]


def conclude(summary: dict[str, Any], files: list[Path]) -> None:
    """Print the comparison, where everything is, and what comes next."""
    from mmgradaug.reproduction.rows import spread

    detector = summary['detector']
    report, maps, numbers = files
    say('done')
    print(f"""
trained   ResNet-18 (half as wide) on {summary['labels_per_class']} labelled digits of each class,
          {summary['seeds']} seeds, baseline and GradAug; {summary['epoch']} epochs each""")
    rows = {**summary[METRIC], 'GradAug - baseline, by seed:': summary['difference']}
    for name, row in rows.items():
        values = ', '.join(f'{value:.2f}' for value in row['by_seed'])
        print(f'top-1 / % {name:12} {spread(row["by_seed"])}   ({values})')
    print(f"""          {summary['verdict']}; the final epoch, mean±standard deviation
backbone  {summary['backbone']}
          all {detector['matched_entries']} of its entries are in {detector['config']}
          by {detector['option']}
report    {report}
picture   {maps}
numbers   {numbers}

A few seeds on one small data set: this shows that the tool works and what it gives here, not
what GradAug gives elsewhere. The paper fine-tunes ImageNet backbones on COCO.
Next, on ImageNet:
  python tools/pretrain.py configs/classification/resnet50_imagenet_gradaug.py""")


if __name__ == '__main__':
    main()
