"""Any MMDetection detector, trained with GradAug."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mmdet.models.detectors import BaseDetector
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor

from ..training import GradAugMixin
from ..transforms import GeometricMap
from .distillation import (
    DistillConfig,
    HeadDistiller,
    Target,
    find_distillers,
    ineffective,
    is_query_based,
)
from .labels import move_samples
from .wrapping import detector_class, reduced, require_options, wrapped_class

if TYPE_CHECKING:

    class _Detector(GradAugMixin, BaseDetector):
        """A detector with the training step, which the named class completes."""

else:
    _Detector = GradAugMixin


@MODELS.register_module()
class GradAugDetector(_Detector):
    """A detector whose training step trains sub-networks too (GradAug, sections 3.1 and 4.4).

    ``GradAugDetector(detector='MaskRCNN', ...)`` builds an instance of a subclass of
    ``MaskRCNN``: its configuration keys, modules and checkpoint keys are the stock
    detector's, and outside training it is the stock detector. Of a subclass it builds the
    same, whose methods come before the detector's. Whole models can be copied and pickled.

    Args:
        detector: Name of a detector registered in mmdet, or its class.
        gradaug: Options; see :class:`SubnetSampler` for ``num_subnets``, ``min_width``,
            ``force_min_width``, ``width_step`` and ``transform``.

            - ``distill``: targets of sub-networks, see :class:`DistillConfig`, or
              ``'labels'`` for the stock losses on labels moved by the transform.
            - ``seed``, ``recompute_above``: see :class:`GradAugOptions`.
        **kwargs: The detector's own.

    Raises:
        ValueError: If an option is out of its range, unknown or of other heads, if the detector is
            not registered or does not take these options, or if widths below 1 are asked of a
            backbone without slimmable layers.
    """

    def __new__(cls, *args: Any, detector: str | type | None = None, **kwargs: Any) -> Any:
        """Make an instance of the detector's GradAug subclass."""
        if not issubclass(cls, BaseDetector):
            cls = wrapped_class(cls, detector_class(detector))  # type: ignore[arg-type]
        elif detector is not None and not issubclass(cls, detector_class(detector)):
            raise ValueError(
                f'detector={detector!r} is no {cls.__name__}, which is a detector of its own: '
                'leave out model.detector'
            )
        return super().__new__(cls)

    def __init__(
        self,
        *args: Any,
        detector: str | type | None = None,
        gradaug: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not args:
            require_options(type(self), kwargs)
        super().__init__(*args, **kwargs)
        self.set_options(gradaug)
        _refuse_crops(self)
        distill = (gradaug or {}).get('distill')
        self._distillers: Sequence[HeadDistiller] = []
        self._config = DistillConfig()
        if distill != 'labels':
            self._config = DistillConfig.parse(distill)
            self._distillers, self._undistilled = find_distillers(
                self, self._config, self.sampler.turns
            )
            if self._undistilled and self.sampler.num_subnets:
                self._warn_labels()
            elif self.sampler.num_subnets:
                self._check_targets(distill or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy the instance, though no module holds its class."""
        return reduced(self, super().__reduce_ex__(protocol))  # type: ignore[arg-type]

    @property
    def _outputs(self) -> list[str]:
        """Config keys of the outputs that sub-networks may learn."""
        keys = [key for distiller in self._distillers for key in distiller.keys]
        return list(dict.fromkeys(keys))  # Panoptic FPN's `roi_mask` is of two heads

    def idle_subnets(self) -> str | None:
        """What makes sub-networks cost time and learn nothing; None if they learn something."""
        outputs = self._outputs
        learnt = [key for key in outputs if getattr(self._config, key) != Target()]
        if learnt or not outputs or not self.sampler.num_subnets:
            return None
        return (
            f"gradaug.distill has 'off' for every output of this detector ({', '.join(outputs)}), "
            f'so its {self.sampler.num_subnets} sub-networks learn nothing: train some outputs, or '
            'set gradaug.num_subnets=0 for plain training'
        )

    def _check_targets(self, distill: Mapping[str, Any]) -> None:
        """Raise on targets of other heads, warn of those that have no effect."""
        texts = [
            f'gradaug.distill.{key} has no effect: expected some of {", ".join(self._outputs)}, '
            'the outputs of this detector'
            for key in ineffective(self._config, distill, self._outputs)
        ]
        for text in [*texts, self.idle_subnets()]:
            if text is not None:
                print_log(f'{type(self).__name__}: {text}', logger='current', level=30)

    def _warn_labels(self) -> None:
        """Say once that sub-networks train on labels, and whether by choice or for want."""
        if is_query_based(self):
            reason = (
                'its queries answer in no fixed order, so sub-networks train on labels moved by '
                'the transform, the choice for query-based heads (docs/DISTILLATION.md)'
            )
        else:
            reason = (
                f'there is no distillation for its {self._undistilled}, so sub-networks train on '
                'labels moved by the transform'
            )
        print_log(
            f'{type(self).__name__}: {reason}, whatever gradaug.distill asks; '
            "gradaug.distill='labels' silences this",
            logger='current',
            level=30,
        )

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context of the full pass: every distilled head's outputs are kept."""
        with ExitStack() as stack:
            for distiller in self._distillers:
                stack.enter_context(distiller.recording())
            yield

    def forget(self) -> None:
        """Drop what the full pass kept."""
        for distiller in self._distillers:
            distiller.forget()

    def subnet_loss(
        self, inputs: Tensor, data_samples: Any, mapping: GeometricMap | None
    ) -> dict[str, Tensor]:
        """Losses of the active sub-network.

        Args:
            inputs: Transformed images (N, C, H, W).
            data_samples: Labels of the original images.
            mapping: Where the transform moved things.
        """
        assert mapping is not None
        if not self._distillers:
            size = (inputs.size(-2), inputs.size(-1))
            return self.loss(inputs, move_samples(data_samples, mapping, size))
        feats = self.extract_feat(inputs)
        ramp = self._config.soft_ramp(self.gradaug_iteration)
        losses: dict[str, Tensor] = {}
        for distiller in self._distillers:
            losses |= distiller.loss(feats, data_samples, mapping, ramp)
        return losses


def _refuse_crops(detector: GradAugDetector) -> None:
    """Raise if sub-networks would see images whose objects cannot be found again."""
    if detector.sampler.crops:
        raise ValueError(
            'gradaug.transform crops images, each elsewhere, where boxes and masks cannot follow: '
            'crops are for classifiers; use RandomScale, RandomRotate or a list of them'
        )
