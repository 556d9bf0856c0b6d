"""Batches of images with labels and images without, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS

from ..errors import ConfigError


@DATA_SAMPLERS.register_module()
class LabelledAndUnlabelled:
    """A loader's ``batch_sampler``: so many images with a label, then so many without, for ever.

    Both kinds are shuffled, and begin again, each on its own; several processes share them. It is
    for loops by iterations.

    Args:
        sampler: The loader's sampler, an ``InfiniteSampler``, for its data set and its seed.
        batch_size: Images with a label in a batch: the loader's ``batch_size``.
        unlabelled: Images without, whose ``gt_label`` is -1.

    Raises:
        ConfigError: If the data set has none of one kind.
    """

    def __init__(self, sampler: Any, batch_size: int, unlabelled: int) -> None:
        self.sampler = sampler
        self.counts = (batch_size, unlabelled)
        dataset = sampler.dataset
        labels = [dataset.get_data_info(index)['gt_label'] for index in range(len(dataset))]
        self.parts: list[list[int]] = [[], []]
        for index, label in enumerate(labels):
            self.parts[label < 0].append(index)
        if not all(self.parts):
            raise ConfigError(
                'train_dataloader.batch_sampler needs images with a label and images without, got '
                f'{len(self.parts[0])} and {len(self.parts[1])}: set '
                'train_dataloader.dataset.unlabelled=True and fewer labels_per_class than there are'
            )

    def __iter__(self) -> Iterator[list[int]]:
        seed = self.sampler.seed  # which a resumed run sets
        draws = [iter(InfiniteSampler(part, seed=seed)) for part in self.parts]  # type: ignore
        while True:
            yield [
                part[place]
                for part, draw, count in zip(self.parts, draws, self.counts, strict=True)
                for place in islice(draw, count)
            ]

    def __len__(self) -> int:
        """Return after how many batches every image with a label has been seen, rounded up."""
        return -(-len(self.parts[0]) // self.counts[0])
