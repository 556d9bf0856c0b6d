"""Train a classifier: `tools/pretrain.py CONFIG`; evaluate one: `... CONFIG --eval CHECKPOINT`."""

import argparse
from collections.abc import Sequence

from mmengine.config import DictAction


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Train a classifier, or evaluate one.')
    add = parser.add_argument
    add('config', help='a config file')
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--eval', dest='checkpoint', metavar='CKPT', help='evaluate a checkpoint')
    text = "go on from a checkpoint, by default the work dir's newest"
    group.add_argument('--resume', nargs='?', const='auto', metavar='CKPT', help=text)
    add('--work-dir', help='where logs and checkpoints go (default: work_dirs/CONFIG)')
    add('--amp', action='store_true', help='mixed precision')
    add('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size')
    text = 'settings that replace those of the config, such as train_dataloader.batch_size=4'
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help=text)
    add('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    add('--local_rank', '--local-rank', type=int, default=0)
    parser.set_defaults(out=None, show=False, show_dir=None, tta=False)  # of tools/test.py
    args = parser.parse_args(argv)
    from mmgradaug.engine.train import test, train  # takes seconds; --help need not wait

    (test if args.checkpoint else train)(args)


if __name__ == '__main__':
    main()
