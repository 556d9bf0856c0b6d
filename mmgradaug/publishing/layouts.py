"""What other libraries call the layers of a ResNet.

Each table below goes from a layer's name in mmdet's ResNet, with the classifier's ``fc`` beside it,
to its name in one library; read backwards it leads home. What a layer's tensors are called
(``weight``, ``running_mean``, ...) is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdet.models.backbones.resnet import Bottleneck, ResNet

CLASSIFIER = 'fc'
# A convolution and its BatchNorm, three times: mmdet counts the activations between them.
DEEP_STEM = ('stem.0', 'stem.1', 'stem.3', 'stem.4', 'stem.6', 'stem.7')


@dataclass(frozen=True)
class Architecture:
    """A ResNet at its usual width.

    Attributes:
        depth: Number of layers: 18, 34, 50, 101 or 152.
        deep_stem: Three convolutions of 3 x 3 instead of one of 7 x 7 (ResNet-C and -D).
        avg_down: Shortcuts average before their convolution (ResNet-D).
    """

    depth: int
    deep_stem: bool = False
    avg_down: bool = False

    @property
    def name(self) -> str:
        """Such as ``ResNet-50`` or ``ResNetV1d-50``."""
        return f'ResNet{VARIANTS[self.deep_stem, self.avg_down]}-{self.depth}'

    @property
    def options(self) -> dict[str, Any]:
        """Config of mmdet's network."""
        if self.avg_down:
            return {'type': 'ResNetV1d', 'depth': self.depth}
        deep = {'deep_stem': True} if self.deep_stem else {}
        return {'type': 'ResNet', 'depth': self.depth, **deep}

    @property
    def stage_blocks(self) -> tuple[int, ...]:
        """Residual blocks of each stage."""
        return ResNet.arch_settings[self.depth][1]

    @property
    def is_bottleneck(self) -> bool:
        """Whether a block has three convolutions."""
        return ResNet.arch_settings[self.depth][0] is Bottleneck

    @property
    def features(self) -> int:
        """Channels of the last features, which a classifier reads."""
        return 512 * ResNet.arch_settings[self.depth][0].expansion

    def layers(self) -> list[str]:
        """Every layer with weights of mmdet's network, by its name."""
        found = list(DEEP_STEM) if self.deep_stem else ['conv1', 'bn1']
        inside = [f'{kind}{n}' for n in range(1, 3 + self.is_bottleneck) for kind in ('conv', 'bn')]
        first = int(self.avg_down)  # after the average
        shortcut = [f'downsample.{first}', f'downsample.{first + 1}']
        for stage, blocks in enumerate(self.stage_blocks):
            for block in range(blocks):
                projects = block == 0 and (stage > 0 or self.is_bottleneck)
                own = inside + (shortcut if projects else [])
                found += [f'layer{stage + 1}.{block}.{layer}' for layer in own]
        return found


VARIANTS = {(False, False): '', (True, False): 'V1c', (True, True): 'V1d'}
ARCHITECTURES = [Architecture(d, *variant) for d in ResNet.arch_settings for variant in VARIANTS]


def layer_names(layout: str, architecture: Architecture) -> dict[str, str]:
    """Each layer's name in a library, by its name in mmdet; the classifier's is the last.

    Args:
        layout: One of :data:`LAYOUTS`.
        architecture: The network.

    Returns:
        The table, empty where the library has no such network.
    """
    name = LAYOUTS[layout]
    if layout in PLAIN_ONLY and architecture.deep_stem:
        return {}
    return {layer: name(layer, architecture) for layer in [*architecture.layers(), CLASSIFIER]}


def renamed(state: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A state dict with its layers renamed; what ``names`` lacks keeps its name."""
    found = {}
    for key, value in state.items():
        layer, _, tensor = key.rpartition('.')
        found[f'{names.get(layer, layer)}.{tensor}'.lstrip('.')] = value
    return found


def backwards(names: Mapping[str, str]) -> dict[str, str]:
    """The table from the other side."""
    return {theirs: ours for ours, theirs in names.items()}


def _mmdet(layer: str, architecture: Architecture) -> str:
    """mmdet's own name, which torchvision shares."""
    return layer


TIMM_STEM = dict(
    zip(DEEP_STEM, ('conv1.0', 'conv1.1', 'conv1.3', 'conv1.4', 'conv1.6', 'bn1'), strict=True)
)


def _timm(layer: str, architecture: Architecture) -> str:
    """timm's: the last BatchNorm of a deep stem stands where a plain stem has its own."""
    return TIMM_STEM.get(layer, layer)


MMPRETRAIN_STEM = dict(
    zip(DEEP_STEM, [f'stem.{i}.{part}' for i in range(3) for part in ('conv', 'bn')], strict=True)
)
MMPRETRAIN_FIRST_SHORTCUT = {
    'layer1.0.downsample.1': 'layer1.0.downsample.0',
    'layer1.0.downsample.2': 'layer1.0.downsample.1',
}


def _mmpretrain(layer: str, architecture: Architecture) -> str:
    """mmpretrain's: a classifier's; shortcuts average only where they have a stride."""
    if layer == CLASSIFIER:
        return 'head.fc'
    if architecture.avg_down:
        layer = MMPRETRAIN_FIRST_SHORTCUT.get(layer, layer)
    return f'backbone.{MMPRETRAIN_STEM.get(layer, layer)}'


GRADAUG_NAMES = {
    'conv1': 'body.0',
    'bn1': 'body.1',
    'conv2': 'body.3',
    'bn2': 'body.4',
    'conv3': 'body.6',
    'bn3': 'body.7',
    'downsample.0': 'shortcut.0',
    'downsample.1': 'shortcut.1',
}


def _gradaug(layer: str, architecture: Architecture) -> str:
    """The authors': blocks are counted through all stages, after the stem."""
    outside = {CLASSIFIER: 'classifier.0', 'conv1': 'features.0.0', 'bn1': 'features.0.1'}
    if layer in outside:
        return outside[layer]
    stage, block, inside = layer.removeprefix('layer').split('.', 2)
    before = sum(architecture.stage_blocks[: int(stage) - 1])
    return f'features.{1 + before + int(block)}.{GRADAUG_NAMES[inside]}'


LAYOUTS: dict[str, Callable[[str, Architecture], str]] = {
    'mmdet': _mmdet,
    'torchvision': _mmdet,
    'timm': _timm,
    'mmpretrain': _mmpretrain,
    'gradaug': _gradaug,
}
PLAIN_ONLY = ('torchvision', 'gradaug')  # these have no deep stems
# What a file of a library may be that is not read, for messages.
NOT_READ = {
    'gradaug': "of the authors' released networks only the ImageNet ResNets are read: what their "
    'WideResNet, PyramidNet and ResNet-110 call their layers is not known here',
}
