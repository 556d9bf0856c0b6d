"""Test a detector: `tools/test.py CONFIG CHECKPOINT`, with the options of mmdet's own."""

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Test a detector.')
    add = parser.add_argument
    add('config', help='a config file')
    add('checkpoint', help='a checkpoint of it')
    add('--work-dir', help='where logs and pictures go (default: work_dirs/CONFIG)')
    add('--out', metavar='PKL', help='write the predictions to a file')
    add('--show', action='store_true', help='show the predictions')
    add('--show-dir', help='write pictures into this folder in WORK_DIR/TIMESTAMP')
    add('--wait-time', type=float, default=2, help='seconds that a picture is shown')
    add('--tta', action='store_true', help='test-time augmentation')
    text = 'settings that replace those of the config, such as test_dataloader.batch_size=4'
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help=text)
    add('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    from mmgradaug.engine.train import test  # takes seconds, which --help need not wait for

    test(args)


if __name__ == '__main__':
    main()
