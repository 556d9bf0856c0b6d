"""CutMix on half of the batches, as its authors train PyramidNet on CIFAR; also beside GradAug."""

mix = dict(type='CutMix', alpha=1.0, prob=0.5)
