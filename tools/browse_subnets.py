"""Draw what sub-networks will see: `tools/browse_subnets.py CONFIG`, on the config's own data.

One picture an iteration: the batch's image for the full network, then its transformed copy for
each sub-network with its width, depth and scale, as training draws them. Detectors' images have
their labels: boxes with class names, masks, and ignored regions in grey; of a classifier's the
title names the class, or the classes that are mixed. Data and classes are checked as tools/train.py
checks them. No network runs.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    add = parser.add_argument
    add('config', help='a config file')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='see train.py')
    add('--out', type=Path, help='folder (default: work_dirs/CONFIG/subnets)')
    add('--iterations', type=int, default=4)
    add('--image', type=int, default=0, help='which of the batch')
    add('--seed', type=int, default=0, help='of data order, widths and scales')
    args = parser.parse_args(argv)
    from mmgradaug.engine.checks import check_data, check_model  # seconds; --help need not wait
    from mmgradaug.engine.cli import load_config, make_output_dir, one_line_errors
    from mmgradaug.visualization.subnets import picture_subnets

    with one_line_errors():
        cfg = load_config(args.config, args.cfg_options, gradaug=True)
        check_data(cfg, ('train',))
        model = check_model(cfg, ('train',))
        out = make_output_dir(args.out or Path('work_dirs', Path(args.config).stem, 'subnets'))
        paths = [out / f'iteration_{index:03d}.png' for index in range(args.iterations)]
        picture_subnets(cfg, model, paths, args.image, args.seed)
        print(f'{args.iterations} iterations drawn in {out}/')


if __name__ == '__main__':
    main()
