"""Mixup with its authors' alpha for CIFAR."""

mix = dict(type='MixUp', alpha=1.0, prob=1.0)
