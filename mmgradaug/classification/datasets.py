"""Data sets of images with one class each, or without a label: folders, CIFAR, STL-10, MNIST."""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset, InfiniteSampler
from mmengine.dist import barrier, is_main_process
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS, make_dataset

from ..errors import ConfigError


class ClassDataset(BaseDataset):
    """mmengine's data set, of images with one class each.

    Args:
        data_root: Folder of the data.
        split: Part of the data, such as ``'train'``.
        labels_per_class: Keep as many images of each class, drawn at random; None keeps all.
        subset_seed: Seed of that draw; another one is another subset.
        unlabelled: Whether the other images stay, too, their ``gt_label`` -1: they have none.
            Of :class:`ClassFolders` also a folder in ``data_root`` with images that never had one.
        **kwargs: As mmengine's ``BaseDataset``: ``pipeline``, ``indices``, ``metainfo``, ...
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        labels_per_class: int | None = None,
        subset_seed: int = 0,
        unlabelled: bool | str = False,
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.labels_per_class = labels_per_class
        self.subset_seed = subset_seed
        self.unlabelled = unlabelled
        super().__init__(data_root=data_root, **kwargs)

    def filter_data(self) -> list[dict]:
        """Keep ``labels_per_class`` images of each class, in their order.

        With ``unlabelled`` the others stay, without their labels.
        """
        wanted = self.labels_per_class
        if wanted is None:
            return self.data_list
        labels = np.array([entry['gt_label'] for entry in self.data_list])
        generator = np.random.default_rng(self.subset_seed)
        kept: list[int] = []
        for label, name in enumerate(self.metainfo['classes']):
            own = np.flatnonzero(labels == label)
            if not 0 < wanted <= len(own):
                raise ConfigError(
                    f'labels_per_class={wanted!r}, expected 1 to {len(own)}: so many images of '
                    f'class {name!r} are in {self.data_root} (split {self.split!r})'
                )
            kept += generator.permutation(own)[:wanted].tolist()
        if not self.unlabelled:
            return [self.data_list[index] for index in sorted(kept)]
        for index in set(range(len(labels))).difference(kept):
            self.data_list[index]['gt_label'] = -1
        return self.data_list

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of an image, as ``ClassBalancedDataset`` asks for it."""
        return [int(self.get_data_info(idx)['gt_label'])]


@DATASETS.register_module()
class ClassFolders(ClassDataset):
    """Images in one folder a class, ``data_root/split/class/image.jpg``: ImageNet's layout.

    Classes are the folders in alphabetical order, or those of ``metainfo=dict(classes=[...])``
    in that order, where others are left out.

    Args:
        split: Folder in it; ``''`` where the class folders are in ``data_root`` itself.
        **kwargs: As :class:`ClassDataset`.

    Raises:
        ConfigError: If a folder is missing or has no image.
    """

    def load_data_list(self) -> list[dict]:
        """Return one entry per image: ``img_path`` and ``gt_label``."""
        if self.ann_file:
            raise ConfigError(
                f'ann_file={self.ann_file!r} is not read, the folders of ClassFolders are the '
                'labels: remove it, and name classes by metainfo.classes'
            )
        root = Path(*self.data_prefix.values(), self.split).absolute()
        try:
            found = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name[0] != '.')
            given = self._metainfo.get('classes', found)
            # A file of names may end with an empty line, which would name the root itself.
            classes = self._metainfo['classes'] = [str(name) for name in given if name != '']
            labels = {name: label for label, name in enumerate(classes)}
            # A class may be too rare for the validation.
            samples = make_dataset(str(root), labels, IMG_EXTENSIONS, allow_empty=self.test_mode)
            if not samples:
                raise ValueError('no image')
            if isinstance(self.unlabelled, str):
                folder = str(Path(self.data_root).absolute())
                samples += make_dataset(folder, {self.unlabelled: -1}, IMG_EXTENSIONS)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f'{root} has no folder of images for each class ({error}): set data_root (and '
                'split) of the data set to where they are, or metainfo.classes to those there are'
            ) from error
        return [{'img_path': path, 'gt_label': label} for path, label in samples]


@DATASETS.register_module()
class TorchvisionImages(ClassDataset):
    """CIFAR-10, CIFAR-100, STL-10, MNIST or Fashion-MNIST, in memory.

    torchvision reads the first three, and compares the files with their published MD5 sums.

    Args:
        name: ``'CIFAR10'``, ``'CIFAR100'``, ``'STL10'``, ``'MNIST'`` or ``'FashionMNIST'``.
        data_root: Folder of the unpacked archive's folder; of the last two torchvision's (with
            ``NAME/raw/``) or one with the four files themselves. They may be gzipped.
        split: ``'train'`` or ``'test'``; of STL-10 also ``'train+unlabeled'``, where ``gt_label``
            is -1 for images without a label.
        download: Whether to download what is missing; the first process does.
        **kwargs: As :class:`ClassDataset`.

    Raises:
        ConfigError: If the data are not there, or not complete.
    """

    images: Tensor

    def __init__(self, name: str, data_root: str, download: bool = False, **kwargs: Any) -> None:
        self.name = name
        self.download = download
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one entry per image: ``gt_label`` and its place among ``images``."""
        is_stl = self.name == 'STL10'
        if not is_stl and self.split not in ('train', 'test'):
            raise ConfigError(f"split={self.split!r} of {self.name}, expected 'train' or 'test'")
        part: Any = {'split': self.split} if is_stl else {'train': self.split == 'train'}
        read = partial(getattr(datasets, self.name), self.data_root, **part)
        try:
            if self.download:
                if is_main_process():
                    read(download=True)
                barrier()
            if self.name.endswith('MNIST'):
                return self._load_idx()
            source = read(download=False)
        except (RuntimeError, OSError, EOFError, ValueError, IndexError, zlib.error) as error:
            debian = "; or install Debian's dataset-fashion-mnist, in /usr/share/datasets"
            debian *= self.name == 'FashionMNIST'
            raise ConfigError(
                f'no complete {self.name} in {Path(self.data_root).absolute()}: set data_root to '
                f'the folder of its unpacked archive, or download=True of the data set{debian}'
            ) from error
        data = torch.from_numpy(source.data)
        self.images = data if is_stl else data.permute(0, 3, 1, 2)
        self._metainfo.setdefault('classes', list(source.classes))
        labels = source.labels if is_stl else source.targets
        return [{'place': place, 'gt_label': int(label)} for place, label in enumerate(labels)]

    def _load_idx(self) -> list[dict]:
        """Read MNIST's format: bytes after a header of integers, the fourth byte their number."""
        folder = Path(self.data_root, self.name, 'raw')
        folder = folder if folder.is_dir() else Path(self.data_root)
        arrays = []
        for kind in ('images-idx3', 'labels-idx1'):
            path = folder / f'{"train" if self.split == "train" else "t10k"}-{kind}-ubyte'
            packed = path.with_name(f'{path.name}.gz')
            content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
            shape = np.frombuffer(content, '>i4', content[3], offset=4)
            pixels = np.frombuffer(bytearray(content), np.uint8, offset=4 + shape.nbytes)
            arrays.append(torch.from_numpy(pixels.reshape(shape)))
        self.images = arrays[0][:, None].expand(-1, 3, -1, -1)  # grey, without a copy
        self._metainfo.setdefault('classes', list(getattr(datasets, self.name).classes))
        return [{'place': i, 'gt_label': label} for i, label in enumerate(arrays[1].tolist())]

    def get_data_info(self, idx: int) -> dict:
        """Return an entry and its image ``img``, bytes (3, H, W)."""
        info = super().get_data_info(idx)
        info['img'] = self.images[info['place']]
        return info


@DATA_SAMPLERS.register_module()
class LabelledAndUnlabelled:
    """A loader's ``batch_sampler``: batches of images with a label, then images without, endlessly.

    Both kinds are shuffled, and begin again, each on its own; several processes share them. It is
    for loops by iterations.

    Args:
        sampler: The loader's sampler, an ``InfiniteSampler``, for its data set and its seed.
        batch_size: Images with a label in a batch: the loader's ``batch_size``.
        unlabelled: Images without, whose ``gt_label`` is -1.

    Raises:
        ConfigError: If the data set has none of one kind, or the sampler is another.
    """

    def __init__(self, sampler: Any, batch_size: int, unlabelled: int) -> None:
        self.sampler = sampler
        self.counts = (batch_size, unlabelled)
        if not isinstance(sampler, InfiniteSampler):
            raise ConfigError(
                'train_dataloader.batch_sampler=LabelledAndUnlabelled never ends: set '
                "train_dataloader.sampler=dict(type='InfiniteSampler') and a loop by iterations, "
                'train_cfg=dict(by_epoch=False, max_iters=...)'
            )
        dataset = sampler.dataset
        self.parts: list[list[int]] = [[], []]
        for index in range(len(dataset)):
            self.parts[dataset.get_data_info(index)['gt_label'] < 0].append(index)
        if not all(self.parts):
            raise ConfigError(
                'train_dataloader.batch_sampler needs images with a label and images without, got '
                f'{len(self.parts[0])} and {len(self.parts[1])}: set '
                'train_dataloader.dataset.unlabelled=True and fewer labels_per_class than there '
                'are, or (ClassFolders) unlabelled to a folder that has images'
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
        """Return the batches of one pass over the images with a label, in one process."""
        return -(-len(self.parts[0]) // self.counts[0])
