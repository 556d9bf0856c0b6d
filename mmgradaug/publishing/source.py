"""What is published: the weights of a checkpoint, ours or another library's, and their config."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from rich.progress import track
from torch import Tensor, nn

from ..engine.checkpoint_loading import load_checkpoint, weights_of
from ..engine.checks import check_data
from ..errors import ConfigError
from ..training import GradAugOptions
from ..type_names import type_name
from .config_text import config_from_text
from .key_maps import CLASSIFIER, load_external, load_strictly
from .recalibration import recalibrate, training_batches
from .stock_config import stock_backbone

SAFETENSORS = '.safetensors'

State = dict[str, Tensor]


@dataclass(frozen=True)
class Cut:
    """Which sub-network to publish."""

    width: float | None = None  # share of the channels; None is the full network as trained
    images: int = 0  # to recalibrate BatchNorm on; 0 keeps the full network's first channels'
    seed: int = 0  # of the choice of images
    device: str = 'cpu'  # to recalibrate on


@dataclass(frozen=True)
class Source:
    """A checkpoint to publish."""

    path: Path
    meta: Mapping[str, Any]  # what the run stored beside the weights
    weights: Mapping[str, Tensor]  # those to publish, under this package's names
    cfg: Config | None  # of the run; None if it is not known
    library: str | None = None  # where the weights are from; None is a run of mmengine

    def config(self) -> Config:
        """Return the config of the run; raise ConfigError if it is not known."""
        if self.cfg is None:
            raise ConfigError(f'{self.path} carries no config: give it with --config')
        return self.cfg

    @property
    def is_classifier(self) -> bool:
        """Whether it is of an image classifier of this package."""
        return {key.split('.')[0] for key in self.weights} <= {'backbone', CLASSIFIER}

    @property
    def backbone(self) -> State:
        """The weights of the backbone by its own names."""
        inside = {k: v for k, v in self.weights.items() if k.startswith('backbone.')}
        others = {k: v for k, v in self.weights.items() if not k.startswith(f'{CLASSIFIER}.')}
        return {k.removeprefix('backbone.'): v for k, v in (inside or others).items()}

    @property
    def classifier(self) -> State:
        """``fc.weight`` and ``fc.bias`` of a classifier, or nothing."""
        return {k: v for k, v in self.weights.items() if k.startswith(f'{CLASSIFIER}.')}


def open_source(path: Path, config: Config | None = None, trained: bool = False) -> Source:
    """Read a checkpoint of a run, with the config given or else the one that it carries.

    mmengine's ``EMAHook`` exchanges two sets of weights when it saves: ``state_dict`` then holds
    the averaged weights, those that were validated, and ``ema_state_dict`` the trained ones.
    ``trained`` takes those.
    """
    checkpoint = load_checkpoint(path)
    meta, weights = checkpoint.get('meta') or {}, _weights_of_run(checkpoint, trained)
    if isinstance(meta.get('dataset_meta'), list):  # of a ConcatDataset whose parts differ
        meta['dataset_meta'] = meta['dataset_meta'][0]
    if config is None and isinstance(meta.get('cfg'), str):
        config = config_from_text(meta['cfg'])
    return Source(path, meta, weights, config)


def _weights_of_run(checkpoint: Any, trained: bool) -> State:
    weights = weights_of(checkpoint)
    exchanged = checkpoint.get('ema_state_dict', {}) if trained else {}
    weights |= {k.removeprefix('module.'): v for k, v in exchanged.items() if k != 'steps'}
    return weights


def open_external(path: Path, library: str, config: Config | None, trained: bool) -> Source:
    """Read the weights of another library's network, of ``torch.save`` or safetensors.

    ``library`` is one of :data:`~mmgradaug.publishing.key_maps.LIBRARIES`; without the config of a
    classifier, only its network is known. ``trained`` is as of :func:`open_source`.

    Raises:
        ConfigError: If the file cannot be read as data, or anything of the network is missing or
            too much.
    """
    if path.suffix == SAFETENSORS:
        from safetensors import SafetensorError, torch  # optional

        try:
            state = torch.load_file(path)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f'{path} is missing or damaged ({error})') from error
    else:
        checkpoint = load_checkpoint(path)
        state = _weights_of_run(checkpoint, trained)
        # Of timm's own runs, and torchvision's.
        averaged = checkpoint.get('state_dict_ema') or checkpoint.get('model_ema')
        if averaged and not trained:
            state = weights_of(averaged)
            state.pop('n_averaged', None)
    backbone, network = load_external(state, library, path)
    weights = {
        key if key.startswith(f'{CLASSIFIER}.') else f'backbone.{key}': tensor
        for key, tensor in network.state_dict().items()
    }
    model: dict[str, Any] = {'type': 'Classifier', 'backbone': backbone}
    if 'fc.bias' in weights:
        model['num_classes'] = len(weights['fc.bias'])
    return Source(path, {}, weights, config or Config({'model': model}), library=library)


def load_trained_model(source: Source, cut: Cut) -> tuple[Any, Config]:
    """Return the trained model, recalibrated at the width to be cut, and its config."""
    cfg = source.config()
    if cut.images:
        check_data(cfg, ('train',))
    model = build_model(cfg.model, cfg.get('default_scope') or 'mmdet')
    load_strictly(model, source.weights, source.path)
    model.to(cut.device)
    if cut.width is not None and cut.images:
        batches = training_batches(cfg, cut.images, cut.seed)
        total = ceil(cut.images / (cfg.train_dataloader.get('batch_size') or 1))
        shown = track(batches, f'recalibrating width {cut.width:g}', total, transient=True)
        recalibrate(model, cut.width, shown)
    return model, cfg


def load_backbone(source: Source) -> Any:
    """Return the backbone with stock layers and the trained weights, in evaluation mode."""
    if source.cfg is None:
        return load_external(source.backbone, 'mmdet', source.path)[1]
    backbone = build_model(stock_backbone(source.cfg.model.backbone))
    load_strictly(backbone, source.backbone, source.path)
    return backbone


def build_model(options: Mapping[str, Any], scope: str = 'mmdet') -> nn.Module:
    """Build a network of a config for one process, in evaluation mode."""
    init_default_scope(scope)
    try:
        model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(options)))
    except KeyError as error:
        raise ConfigError(
            f'{error.args[0]}; what the config in a checkpoint imports is not executed: give the '
            'config file with --config'
        ) from error
    model.eval()  # returns nothing, in mmdet's ResNet
    return model


def untrained_widths(source: Source, widths: Sequence[float]) -> list[float]:
    """Return the widths that the run never trained, of those given; none where it is not known."""
    if source.cfg is None or source.library is not None:
        return []
    model, own = source.cfg.model, source.meta.get('cfg')
    # A plain run's checkpoint fits GradAug's config; a published one has a stock config beside it.
    if isinstance(own, str) and 'mmgradaug' not in source.meta:
        with suppress(ConfigError):  # what it trained is not known then
            model = config_from_text(own).get('model', model)
    sampler = GradAugOptions.parse(model.get('gradaug')).sampler
    is_gradaug = 'GradAug' in type_name(model.get('type')) and sampler.num_subnets > 0
    least = sampler.min_width if is_gradaug else 1.0
    return [width for width in widths if width < least - 1e-9]
