"""Train a detector: `tools/train.py CONFIG`, with the options of mmdet's own tools/train.py."""

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a detector.')
    add = parser.add_argument
    add('config', help='a config file')
    add('--work-dir', help='where logs and checkpoints go (default: work_dirs/CONFIG)')
    add('--amp', action='store_true', help='mixed precision')
    add('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size')
    text = "go on from a checkpoint, by default the work dir's newest"
    add('--resume', nargs='?', const='auto', metavar='CKPT', help=text)
    text = 'settings that replace those of the config, such as train_dataloader.batch_size=4'
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help=text)
    add('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    from mmgradaug.engine.train import train  # takes seconds, which --help need not wait for

    train(args)


if __name__ == '__main__':
    main()
