"""Any MMDetection detector, trained with GradAug."""

import functools
import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ConfigError, suggestion
from ..training import GradAugMixin
from ..transforms import GeometricMap
from .distillation import DistillConfig, HeadDistiller, find_distillers
from .labels import move_samples

# Of heads of Dynamic R-CNN and DDOD.
COUNTS = ('iou_history', 'beta_history', 'cls_num_pos_samples_per_level')


@MODELS.register_module()
class GradAugDetector(GradAugMixin):
    """A detector whose training step trains sub-networks too (GradAug, sections 3.1 and 4.4).

    ``GradAugDetector(detector='MaskRCNN', ...)`` builds an instance of a subclass of
    ``MaskRCNN``: its configuration keys, modules and checkpoint keys are the stock
    detector's, and outside training it is the stock detector. The same holds for a subclass of
    this class, whose methods come before the detector's. Models can be copied and pickled.

    Args:
        detector: Name of a detector registered in mmdet, or its class.
        gradaug: Options; see :class:`SubnetSampler` for ``num_subnets``, ``min_width``,
            ``force_min_width``, ``width_step``, ``transform``, ``every`` and ``active``.

            - ``distill``: targets of sub-networks, see :class:`DistillConfig`, or
              ``'labels'`` for the stock losses on labels moved by the transform.
            - ``seed``, ``recompute_above``, ``weights``: see :class:`GradAugOptions`.
        **kwargs: The detector's own.

    Raises:
        ConfigError: If an option is out of its range, unknown or of other heads, if there is no
            such detector, or if widths below 1 are asked of a backbone that is not slimmable.
    """

    def __new__(cls, *args: Any, detector: str | type | None = None, **kwargs: Any) -> Any:
        """Make an instance of the detector's GradAug subclass."""
        if not issubclass(cls, BaseDetector):
            cls = gradaug_class(cls, detector_class(detector))  # type: ignore[arg-type]
        return super().__new__(cls)

    def __init__(
        self,
        *args: Any,
        detector: str | type | None = None,
        gradaug: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.set_options(gradaug)
        distill = (gradaug or {}).get('distill')
        self._distillers: Sequence[HeadDistiller] = []
        self._undistilled: str | None = None  # what has no distillation
        self._config = DistillConfig.parse(None if distill == 'labels' else distill)
        if distill == 'labels':
            return
        self._distillers, self._undistilled = find_distillers(self, self._config)
        if self._distillers:
            outputs = [key for distiller in self._distillers for key in distiller.keys]
            self._config.require_heads(distill or {}, outputs)
        elif distill:
            print_log(
                f'{type(self).__name__}: no distillation for its {self._undistilled}, so '
                'sub-networks train on labels moved by the transform, not as gradaug.distill says',
                logger='current',
                level=logging.WARNING,
            )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle an instance of a generated class by what the class is made of."""
        reduced = super().__reduce_ex__(protocol)
        made_of = vars(type(self)).get('_made_of')
        return reduced if made_of is None else (_empty_instance, made_of, *reduced[2:])  # type: ignore

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record every distilled head's outputs in the full pass, which runs in this context."""
        with ExitStack() as stack:
            for distiller in self._distillers:
                for recorder in distiller.recorders():
                    stack.enter_context(recorder)
            yield

    def clear(self) -> None:
        """Drop what the full pass recorded."""
        for distiller in self._distillers:
            distiller.clear()

    def subnet_loss(
        self, inputs: Tensor, data_samples: Any, mapping: GeometricMap | None
    ) -> dict[str, Tensor]:
        """Return the losses of the active sub-network; labels are the original images'."""
        assert mapping is not None
        with _counts_kept(self):
            if not self._distillers:
                size = (inputs.size(-2), inputs.size(-1))
                moved = move_samples(data_samples, mapping, size)
                return self.loss(inputs, moved)  # type: ignore[attr-defined]
            feats = self.extract_feat(inputs)  # type: ignore[attr-defined]
            ramp = self._config.soft_ramp(self.gradaug_iteration)
            losses: dict[str, Tensor] = {}
            for distiller in self._distillers:
                losses |= distiller.loss(feats, data_samples, mapping, ramp)
            return losses


@contextmanager
def _counts_kept(model: Any) -> Iterator[None]:
    """Put back behind a sub-network what is counted over iterations, in buffers or in COUNTS.

    Losses do (GHM, Seesaw, EQLv2) and heads. As with BatchNorm, whose own statistics are kept by
    :func:`~mmgradaug.at_width`, they count the full pass.
    """
    kept: list[tuple[dict[str, Any], str, Any]] = []
    for module in model.modules():
        attributes = vars(module)
        kept += [(attributes, name, attributes[name]) for name in COUNTS if name in attributes]
        if not isinstance(module, _BatchNorm):
            kept += [(module._buffers, name, value) for name, value in module._buffers.items()]
    for owner, name, value in kept:
        if isinstance(value, list):
            # Empty histories: Dynamic R-CNN changes its thresholds once they are long enough (100).
            owner[name] = [] if name.endswith('history') else list(value)
        elif value is not None:
            owner[name] = value.clone()
    try:
        yield
    finally:
        for owner, name, value in kept:
            owner[name] = value


def detector_class(detector: str | type | None) -> type:
    """Return the class of a detector's name."""
    found = MMDET_MODELS.get(detector) if isinstance(detector, str) else detector
    if inspect.isclass(found) and issubclass(found, BaseDetector):
        return found
    raise ConfigError(
        f'detector={detector!r} is not a detector registered in mmdet'
        f'{suggestion(str(detector), MMDET_MODELS.module_dict)}, expected a name such as '
        "'MaskRCNN': set model.detector to the `type` of the stock config, and import its module "
        'in custom_imports, which replaces that of _base_'
    )


@functools.cache
def gradaug_class(wrapper: type, stock: type) -> type:
    """Return the class that trains as ``wrapper`` and is else ``stock``: always the same one."""
    name = f'{wrapper.__name__.removesuffix("Detector")}{stock.__name__}'
    body = dict(__module__=wrapper.__module__, __doc__=stock.__doc__, _made_of=(wrapper, stock))
    return type(name, (wrapper, stock), body)


def _empty_instance(wrapper: Any, stock: type) -> Any:
    """Return an instance of a generated class, whose state is about to follow."""
    return wrapper.__new__(wrapper, detector=stock)
