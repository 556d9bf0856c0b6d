"""What is published: the weights of a checkpoint, ours or another library's, and their config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from ..checkpoints.reading import read_checkpoint, weights_of
from ..classification import Classifier
from ..type_names import class_of
from .averages import choose_weights
from .config_text import config_from_text
from .conversion import State, from_layout
from .layouts import CLASSIFIER, Architecture
from .record import backbone_name, record_of
from .safetensors_files import SUFFIX, read_safetensors
from .stock_config import stock_backbone

BACKBONE = 'backbone.'
HASH = re.compile(r'-[0-9a-f]{8}$')
# Where weights are in the files of other trainers.
NESTED = ('state_dict', 'model')


@dataclass(frozen=True)
class Cut:
    """Which sub-network to publish.

    Attributes:
        width: Share of the channels; None for the full network as it was trained.
        images: Training images to recalibrate BatchNorm statistics on; 0 keeps the first
            channels' of the full network.
        seed: Of the choice of images.
        device: To recalibrate on.
    """

    width: float | None = None
    images: int = 0
    seed: int = 0
    device: str = 'cpu'


@dataclass(frozen=True)
class Source:
    """A checkpoint to publish.

    Attributes:
        path: Its file.
        checkpoint: Its contents.
        weights: The weights to publish.
        cfg: Config of the run; None if it is not known.
        validated: Whether the run validated these weights.
        layout: The library whose names the file has; None for a checkpoint of mmengine's.
    """

    path: Path
    checkpoint: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    cfg: Config | None
    validated: bool = True
    layout: str | None = None

    def config(self) -> Config:
        """The config of the run.

        Raises:
            ValueError: If it is not known.
        """
        if not self.has_config:
            raise ValueError(
                f'{self.path} carries no config of a model with a backbone, expected '
                "meta['cfg'] as mmengine writes it: give the config with --config"
            )
        assert self.cfg is not None
        return self.cfg

    @property
    def has_config(self) -> bool:
        """Whether the config of the run is known."""
        return self.cfg is not None and bool((self.cfg.get('model') or {}).get('backbone'))

    @property
    def is_classifier(self) -> bool:
        """Whether it is of an image classifier of this package."""
        if not self.has_config:
            return {key.split('.')[0] for key in self.weights} == {'backbone', CLASSIFIER}
        found = class_of(self.config().model.get('type'), MODELS)
        return found is not None and issubclass(found, Classifier)

    def parts(self) -> tuple[State, State]:
        """Weights of the backbone and of a classifier's linear layer, by their own names.

        Returns:
            The backbone's weights; ``fc.weight`` and ``fc.bias``, or nothing.

        Raises:
            ValueError: If there is no backbone.
        """
        head = {key: v for key, v in self.weights.items() if _in_head(key)}
        if any(key.startswith(BACKBONE) for key in self.weights):
            return weights_of(self.weights, self.path, BACKBONE), head
        from_layout(self.weights, 'mmdet', self.path)
        return {k: v for k, v in self.weights.items() if k not in head}, head

    def record(self, cut: Cut) -> dict[str, Any]:
        """What a published file says about itself."""
        width = 1.0 if cut.width is None else cut.width
        record = record_of(self.checkpoint, self.path, self.cfg, width, cut.images, self.validated)
        if self.has_config:
            record['network'] = backbone_name(stock_backbone(self.config().model.backbone))
        if self.layout is not None:
            record |= {'config': HASH.sub('', self.path.stem), 'layout': self.layout}
        return record


def open_source(path: Path, config: Config | None = None, averaged: bool | None = None) -> Source:
    """Read a checkpoint and, unless another one is given, the config that it carries.

    Args:
        path: The checkpoint.
        config: Config to use instead of the checkpoint's own.
        averaged: See :func:`choose_weights`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file or its config would have to be executed to read it.
    """
    checkpoint = read_checkpoint(path)
    text = (checkpoint.get('meta') or {}).get('cfg')
    if config is None and isinstance(text, str):
        config = config_from_text(text)
    raw = averaged is False and 'ema_state_dict' in checkpoint
    return Source(path, checkpoint, choose_weights(checkpoint, path, averaged), config, not raw)


def open_foreign(path: Path, layout: str, config: Config | None = None) -> Source:
    """Read the weights of another library's ResNet.

    Args:
        path: A file that ``torch.save`` wrote, or one of safetensors.
        layout: The library, one of :data:`~mmgradaug.publishing.layouts.LAYOUTS`.
        config: Config of a classifier, with its data; by default only its network is known.

    Returns:
        The weights under the names of this package's classifiers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it would have to be executed to read it, or anything of the ResNet is
            missing or too much.
    """
    state = _foreign_weights(path)
    if layout == 'mmdet':  # whose detectors have other weights besides
        inside = any(key.startswith(BACKBONE) for key in state)
        state = weights_of(state, path, BACKBONE) if inside else state
    architecture, ours = from_layout(state, layout, path)
    weights = {key if _in_head(key) else f'{BACKBONE}{key}': v for key, v in ours.items()}
    return Source(path, {}, weights, config or _config_of(architecture, ours), layout=layout)


def _foreign_weights(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file, without what wrappers put before their names."""
    if path.suffix == SUFFIX:
        return weights_of(read_safetensors(path), path)
    contents = read_checkpoint(path)
    nested = [contents[key] for key in NESTED if isinstance(contents.get(key), Mapping)]
    return weights_of(nested[0] if nested else contents, path)


def _config_of(architecture: Architecture, state: Mapping[str, Tensor]) -> Config:
    """Config of a classifier of which only the weights are known."""
    model = {'type': 'Classifier', 'backbone': {**architecture.options, 'out_indices': (3,)}}
    head = state.get(f'{CLASSIFIER}.bias')
    return Config({'model': model | ({} if head is None else {'num_classes': len(head)})})


def _in_head(key: str) -> bool:
    """Whether a tensor is the classifier's linear layer's."""
    return key.rpartition('.')[0] == CLASSIFIER
