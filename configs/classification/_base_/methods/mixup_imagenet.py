"""Mixup with its authors' alpha for ImageNet."""

mix = dict(type='MixUp', alpha=0.2, prob=1.0)
