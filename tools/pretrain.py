"""Train a classifier: `tools/pretrain.py CONFIG`; evaluate one: `... CONFIG --eval CHECKPOINT`."""

from mmgradaug.engine.train import pretrain_main

if __name__ == '__main__':
    pretrain_main()
