"""The demo: train Mask R-CNN with GradAug on real microscopy images, and show what came out.

``make demo`` runs this. It needs two CPU cores, ten minutes, and pip's registry once, for an image
in a file of 3 MB.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

CONFIG = 'configs/mask_rcnn_r18_gradaug_nuclei.py'


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    default = 'work_dirs/mask_rcnn_r18_gradaug_nuclei'
    add('--work-dir', default=default, help='(default: %(default)s)')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    args = parser.parse_args(argv)
    from mmgradaug.datasets import make_nuclei  # these take seconds, which --help need not wait for
    from mmgradaug.engine.cli import load_config, one_line_errors

    with one_line_errors():
        cfg = load_config(CONFIG, args.cfg_options)
        cfg.work_dir, cfg.launcher = args.work_dir, 'none'
        say(f'data: one fluorescence image with 125 labelled nuclei, as tiles, in {cfg.data_root}')
        make_nuclei(cfg.data_root)
        train(cfg, Path(cfg.work_dir))


def say(text: str) -> None:
    print(f'[demo] {text}', flush=True)


def train(cfg: Config, work_dir: Path) -> None:
    """Train, draw, write ``summary.json`` and print it."""
    import torch

    from mmgradaug.engine.checks import check_run
    from mmgradaug.engine.hooks.versions import versions
    from mmgradaug.engine.train import build_runner
    from mmgradaug.reporting.page import write_report
    from mmgradaug.reporting.run import read_run
    from mmgradaug.visualization.canvas import save_figure
    from mmgradaug.visualization.predictions import picture_predictions
    from mmgradaug.visualization.subnets import picture_subnets

    options = cfg.model.gradaug
    say(f'training {CONFIG} for {cfg.train_cfg.max_epochs} epochs: each iteration the full network')
    say(f'and {options.num_subnets} sub-networks; "eta" in the log is the time left (h:min:s)')
    check_run(cfg, ('train', 'val'))
    start = time.time()
    runner = build_runner(cfg)
    runner.train()
    minutes = (time.time() - start) / 60
    run = read_run(work_dir)
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())
    summary: dict[str, Any] = {
        'bbox_mAP': run.scalars.last('bbox_mAP'),
        'segm_mAP': run.scalars.last('segm_mAP'),
        'seconds': round(60 * minutes, 1),
        'num_subnets': options.num_subnets,
        'config': CONFIG,
        'seed': cfg.randomness.seed,
        'checkpoint': checkpoint.name,
        'cpu_count': os.cpu_count(),
        'torch_threads': torch.get_num_threads(),
        'versions': versions(),
    }
    numbers = work_dir / 'summary.json'
    numbers.write_text(json.dumps(summary, indent=2) + '\n')
    say('drawing')
    name = 'Mask R-CNN R-18 with GradAug, nuclei'
    names = ('predictions.png', 'subnets.png', 'report.html')
    predictions, subnets, report = (work_dir / file for file in names)
    save_figure(picture_predictions(cfg, {'predictions': runner.model}, title=name), predictions)
    picture_subnets(cfg, runner.model, [subnets], title=name)
    write_report([run], report)
    say('done')
    print(f"""
trained   Mask R-CNN (ResNet-18, half as wide) with GradAug on 12 microscopy tiles
          the full network and {options.num_subnets} sub-networks per iteration,
          width {options.min_width} to 1, scales {options.transform.scales}; {minutes:.1f} minutes
result    box AP {summary['bbox_mAP'] or 0:.3f}, mask AP {summary['segm_mAP'] or 0:.3f}
          of the full network on the 4 validation tiles
weights   {work_dir / checkpoint.name}
pictures  {predictions}, {subnets}
report    {report}
numbers   {numbers}

This shows the machinery at work; 12 tiles cannot show whether GradAug pays. What was measured
here is in docs/DISTILLATION.md; for COCO see the paper, Table 7.
Next, on COCO:
  python tools/train.py configs/mask_rcnn_r50_gradaug_1x.py""")


if __name__ == '__main__':
    main()
