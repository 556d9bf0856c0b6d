"""Image classifiers, plain and trained with GradAug."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..errors import ConfigError
from ..slimmable import SlimConv, at_width
from ..training import GradAugMixin, Subnet
from ..transforms import GeometricMap
from .distillation import ClassDistillation, FrozenTeacher
from .preprocessor import ImagePreprocessor


@MODELS.register_module()
class Classifier(BaseModel):
    """A backbone, the mean of its last features over the image, and a linear layer.

    Images of any size that the backbone takes will do. Keys of the state dict are ``backbone.``
    and what the backbone calls its own, and ``fc.weight`` and ``fc.bias``: without ``backbone.``
    those of a ResNet are torchvision's, all of them.

    Args:
        backbone: Config of any registered network that returns features (N, C, H, W), or several
            of them, of which the last counts. BatchNorm trains, unlike mmdet's own default for
            ResNets, unless the config says ``norm_eval=True``.
        num_classes: Number of classes.
        in_channels: Channels of the features; None asks the backbone's ``out_channels`` or
            ``feat_dim``, which networks other than ResNets may not have.
        label_smoothing: Share of each label that is spread evenly over all classes.
        channels_last: Whether weights and images lie in memory with their channels next to each
            other, which many convolution kernels like better; nothing else changes. Not with
            deformable convolutions of mmcv's own, which read it wrongly.
        teacher: Config of a larger, trained classifier, whose soft labels are learnt too in
            training: ``network``, ``temperature`` and ``weight``, see
            :class:`~mmgradaug.classification.distillation.FrozenTeacher`. With GradAug it teaches
            the full network, which teaches its sub-networks.
        data_preprocessor: Config, see :class:`ImagePreprocessor`, the default.
        init_cfg: As of every module of mmengine.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        num_classes: int,
        in_channels: int | None = None,
        label_smoothing: float = 0.0,
        channels_last: bool = False,
        teacher: Mapping[str, Any] | None = None,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(data_preprocessor or {'type': ImagePreprocessor}, init_cfg)
        self.data_preprocessor.num_classes = num_classes
        self.backbone = MODELS.build(backbone)
        if 'norm_eval' not in backbone and hasattr(self.backbone, 'norm_eval'):
            self.backbone.norm_eval = False
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.teacher = None if teacher is None else FrozenTeacher(**teacher)
        for name in ('out_channels', 'feat_dim'):
            in_channels = in_channels or getattr(self.backbone, name, None)
        if in_channels is None:
            raise ConfigError(
                f'model.in_channels is needed with {type(self.backbone).__name__}: set it to the '
                'channels of its last features'
            )
        self.fc = nn.Linear(in_channels, num_classes)
        deformable = (DeformConv2d, ModulatedDeformConv2d)
        for name, layer in self.named_modules() if channels_last else ():
            if isinstance(layer, deformable) and not isinstance(layer, SlimConv):
                raise ConfigError(
                    f'model.channels_last=True with {name}, a {type(layer).__name__}, which would '
                    'read its input wrongly: remove channels_last, or take a slimmable backbone'
                )
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def init_weights(self) -> None:
        """Initialise, to the same values in every memory format."""
        # Random numbers fill a tensor in the order of its memory.
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        super().init_weights()
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Forward in one of mmengine's modes.

        Args:
            inputs: Normalised images (N, C, H, W).
            data_samples: Labels (N,), or probabilities (N, classes) in mode ``'loss'``, where -1
                is no label.
            mode: ``'tensor'`` for logits (N, classes), ``'loss'`` for a dict of losses,
                ``'predict'`` for a data element an image: ``logits`` and ``pred_scores``
                (classes,), ``pred_label``, and ``gt_label`` where labels are given.
        """
        logits = self.logits(inputs)
        if mode == 'tensor':
            return logits
        if mode == 'loss':
            return self.losses(inputs, logits, data_samples)
        logits = logits.float()
        fields = dict(logits=logits, pred_scores=logits.softmax(1), pred_label=logits.argmax(1))
        if data_samples is not None:
            fields['gt_label'] = data_samples
        rows = zip(*fields.values(), strict=True)
        return [BaseDataElement(**dict(zip(fields, row, strict=True))) for row in rows]

    def extract_feat(self, inputs: Tensor) -> Any:
        """Return the backbone's features of normalised images (N, C, H, W)."""
        return self.backbone(inputs.contiguous(memory_format=self.memory_format))

    def logits(self, inputs: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, C, H, W).

        A sub-network's features have as many channels as the full network's, the last ones zero,
        so the linear layer reads its first input channels only.
        """
        features = self.extract_feat(inputs)
        last = features if isinstance(features, Tensor) else features[-1]
        return self.fc(F.adaptive_avg_pool2d(last, 1).flatten(1))

    def losses(self, inputs: Tensor, logits: Tensor, data_samples: Tensor) -> dict[str, Tensor]:
        """Return the losses of logits (N, classes) of images (N, C, H, W)."""
        losses = {'loss_cls': self.label_loss(logits, data_samples)}
        if self.teacher:
            losses['loss_teacher'] = self.teacher.loss(inputs, logits)
        return losses

    def label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross entropy with labels (N,) or probabilities (N, classes), in float32.

        It is the mean over images that have a label: -1 is none.
        """
        options: Any = dict(ignore_index=-1, label_smoothing=self.label_smoothing)
        return F.cross_entropy(logits.float(), targets, **options)


@MODELS.register_module()
class GradAugClassifier(GradAugMixin, Classifier):
    """A classifier whose training step trains sub-networks too (GradAug, section 4.1).

    Outside training, and with ``num_subnets=0`` in it, it is a :class:`Classifier` bit by bit,
    with the same keys.

    Args:
        gradaug: Options; see :class:`SubnetSampler` for ``num_subnets``, ``min_width``,
            ``force_min_width``, ``width_step``, ``shrink``, ``transform``, ``every``, ``active``.

            - ``distill``: what sub-networks learn, see :class:`ClassDistillation`; by default
              the full network's output, as in the paper, or ``'labels'``.
            - ``seed``, ``recompute_above``, ``weights``: see :class:`GradAugOptions`.
        **kwargs: As :class:`Classifier`.

    Raises:
        ConfigError: If an option is out of its range or unknown, or if widths below 1 are asked
            of a backbone that is not slimmable.
    """

    def __init__(self, *args: Any, gradaug: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_options(gradaug)
        self.distillation = ClassDistillation.parse((gradaug or {}).get('distill'))
        weights: Any = self.distillation.unlabelled
        if isinstance(weights, (int, float)):
            weights = [weights] * self.sampler.num_subnets
        if self.sampler.num_subnets and len(weights) != self.sampler.num_subnets:
            raise ConfigError(
                f'gradaug.distill.unlabelled={weights} has {len(weights)} weights, expected one '
                f'number, or one for each of num_subnets={self.sampler.num_subnets} sub-networks'
            )
        self._unlabelled_weights = list(weights)
        self._teacher: Tensor | None = None
        self._unlabelled: Tensor | None = None
        self._weights = list(weights)  # of this step's sub-networks that are still to come

    def forward(  # type: ignore[override]
        self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor', mapping: Any = None
    ) -> Any:
        """Forward in a mode of :class:`Classifier` or of the training step.

        With ``distill.unlabelled`` the full pass is that of the images with labels alone.
        Soft labels of the others come from a forward of their own, without gradients, which
        normalises with their statistics and keeps none.
        """
        if mode != 'full' or not any(self._unlabelled_weights):
            return super().forward(inputs, data_samples, mode, mapping)
        known = data_samples >= 0
        if known.all():
            raise ConfigError(
                'gradaug.distill.unlabelled is set, but a batch has no image without a label: set '
                "train_dataloader.batch_sampler=dict(type='LabelledAndUnlabelled', unlabelled=50)"
            )
        losses = super().forward(inputs[known], data_samples[known], mode)
        if any(self._weights):
            with torch.no_grad(), at_width(self, 1.0):
                self._unlabelled = self.logits(inputs[~known])
        return losses

    def sample_subnets(self) -> list[Subnet]:
        """Draw the sub-networks of the next step; without any, it needs no image without label."""
        subnets = super().sample_subnets()
        self._weights = self._unlabelled_weights[: len(subnets)]
        return subnets

    def recording(self) -> RemovableHandle:
        """Return the context of the full pass: its logits are kept."""

        def keep(_: nn.Module, args: Any, logits: Tensor) -> None:
            self._teacher = logits.detach()

        return self.fc.register_forward_hook(keep)

    def clear(self) -> None:
        """Drop the full pass's logits."""
        self._teacher = self._unlabelled = None
        self._weights = list(self._unlabelled_weights)

    def subnet_loss(
        self, inputs: Tensor, data_samples: Any, mapping: GeometricMap | None
    ) -> dict[str, Tensor]:
        """Return the losses of the active sub-network; no transform changes the labels."""
        assert self._teacher is not None
        losses, config = {}, self.distillation
        if self._unlabelled is not None:
            known = data_samples >= 0
            if weight := self._weights.pop(0):
                soft = config.divergence(self.logits(inputs[~known]), self._unlabelled)
                losses['loss_unlabelled'] = weight * soft
            inputs, data_samples = inputs[known], data_samples[known]
        logits = self.logits(inputs)
        if config.soft:
            losses['loss_cls_soft'] = config.soft * config.divergence(logits, self._teacher)
        if config.hard:
            losses['loss_cls_hard'] = config.hard * self.label_loss(logits, data_samples)
        agree = logits.detach().argmax(1) == self._teacher.argmax(1)
        return {**losses, 'agree_cls': agree.float().mean()}
