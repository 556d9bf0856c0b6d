"""Draw what sub-networks will see: `tools/browse_subnets.py CONFIG`, on the config's own data.

One picture an iteration: the batch's image for the full network, then its transformed copy for
each sub-network with its width, depth and scale, as training draws them. Detectors' images have
their labels: boxes with class names, masks, and ignored regions in grey; of a classifier's the
title names the class, or the classes that are mixed. Data and classes are checked as tools/train.py
checks them. No network runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mmgradaug.classification import GradAugClassifier
from mmgradaug.detection import GradAugDetector
from mmgradaug.engine.checks import check_data, check_model
from mmgradaug.engine.cli import (
    at_least,
    config_parser,
    load_config,
    make_output_dir,
    one_line_errors,
)
from mmgradaug.visualization.subnets import picture_subnets


@one_line_errors()
def main(argv: Sequence[str] | None = None) -> int:
    parser = config_parser(__doc__)
    add = parser.add_argument
    add('--out', type=Path, help='folder (default: work_dirs/CONFIG/subnets)')
    add('--iterations', type=at_least(1), default=4)
    add('--image', type=at_least(0), default=0, help='which of the batch')
    add('--seed', type=at_least(0), default=0, help='of data order, widths and scales')
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options, (GradAugDetector, GradAugClassifier))
    check_data(cfg, ('train',))
    model = check_model(cfg, ('train',))
    out = make_output_dir(args.out or Path('work_dirs', Path(args.config).stem, 'subnets'))
    paths = [out / f'iteration_{index:03d}.png' for index in range(args.iterations)]
    picture_subnets(cfg, model, paths, args.image, args.seed)
    print(f'{args.iterations} iterations drawn in {out}/')
    return 0


if __name__ == '__main__':
    sys.exit(main())
