"""Test a detector: `tools/test.py CONFIG CHECKPOINT`, with the options of mmdet's own."""

from mmgradaug.engine.train import test_main

if __name__ == '__main__':
    test_main()
