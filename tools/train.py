"""Train a detector: `tools/train.py CONFIG`, with the options of mmdet's own tools/train.py."""

from mmgradaug.engine.train import train_main

if __name__ == '__main__':
    train_main()
