"""The demo of classification: plain and GradAug training on a few real handwritten digits.

``make pretrain-demo`` runs this. It trains a small network several times each way, compares them,
draws what they see, publishes the backbone and puts it into a detector. It needs two CPU cores, ten
minutes, and pip's registry once, for a file of 1.4 MB. What is complete is not done again.
"""

import argparse
import os
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
    """Make the data, train, draw, publish, compare."""
    from mmgradaug.datasets import make_digits
    from mmgradaug.engine.checks import check_model
    from mmgradaug.engine.cli import make_output_dir
    from mmgradaug.engine.weight_check import check_pretrained
    from mmgradaug.publishing.publish import publish_backbone
    from mmgradaug.publishing.source import Cut, open_source
    from mmgradaug.reproduction.rows import read_rows, spread
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
    report, maps = draw(work_dir, runs)
    first = runs['GradAug'][0]
    backbone = publish_backbone(open_source(first.checkpoint), Cut(), work_dir / 'published')
    init_cfg = dict(type='Pretrained', checkpoint=str(backbone))
    say(f'loading the backbone into {DETECTOR}')
    detector_cfg = Config.fromfile(DETECTOR)
    detector_cfg.model.backbone.init_cfg = init_cfg
    detector = check_model(detector_cfg)
    check_pretrained(detector)
    detector.init_weights()
    say('done')
    cfg = Config.fromfile(first.work_dir / Path(first.row.config).name)
    labels, epochs = cfg.train_dataloader.dataset.labels_per_class, cfg.train_cfg.max_epochs
    print(f"""
trained   ResNet-18 (half as wide) on {labels} labelled digits of each class,
          {args.seeds} seeds, baseline and GradAug; {epochs} epochs each""")
    values = {name: [r.record()['final'][METRIC] for r in rs] for name, rs in runs.items()}
    gap = [a - b for a, b in zip(values['GradAug'], values['baseline'], strict=True)]
    for name, row in {**values, 'GradAug - baseline, by seed:': gap}.items():
        seeds = ', '.join(f'{value:.2f}' for value in row)
        print(f'top-1 / % {name:12} {spread(row)}   ({seeds})')
    print(f"""          mean±standard deviation, final epoch;
          GradAug is better with {sum(v > 0 for v in gap)} of {args.seeds} seeds
backbone  {backbone}
          all {len(detector.backbone.state_dict())} of its entries are in {DETECTOR}
          by model.backbone.init_cfg={init_cfg}
report    {report}
picture   {maps}
numbers   {records}

A few seeds on one small data set: this shows that the tool works and what it gives here, not
what GradAug gives elsewhere. The paper fine-tunes ImageNet backbones on COCO.
Next, on ImageNet:
  python tools/pretrain.py configs/classification/resnet50_imagenet_gradaug.py""")


def say(text: str) -> None:
    print(f'[demo] {text}', flush=True)


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


if __name__ == '__main__':
    main()
