"""What the distillation of each head family offers, and what several of them need."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mmdet.structures import SampleList
from torch import Tensor

from ...transforms import GeometricMap
from .config import DistillConfig

Losses = dict[str, Tensor]  # with `loss` in their names; agreements, which are logged, without


class HeadDistiller:
    """Trains a head of sub-networks with what the head said in the full pass."""

    keys: Sequence[str]  # config keys of the head's outputs
    record: Callable[..., None]  # a forward hook of the head: keeps what it says
    teacher: Any = None  # what was recorded in the full pass

    def __init__(self, head: Any, config: DistillConfig) -> None:
        self.head, self.config = head, config

    @classmethod
    def supports(cls, head: Any) -> bool:
        """Return whether ``head`` computes its outputs and losses as expected here."""
        raise NotImplementedError

    def recorders(self) -> list[AbstractContextManager[Any]]:
        """Return contexts that record what the head sees and says in the full pass."""
        return [self.head.register_forward_hook(self.record)]

    def clear(self) -> None:
        """Drop what was recorded."""
        self.teacher = None

    def loss(
        self, feats: Sequence[Tensor], samples: SampleList, mapping: GeometricMap, ramp: float
    ) -> Losses:
        """Compute the losses of the active sub-network.

        Args:
            feats: Its feature maps, one (N, C, H, W) a level.
            samples: Labels of the original images.
            mapping: Where the transform moved things.
            ramp: Factor of the soft losses, 0 to 1.

        Returns:
            Losses and agreements. Every output of the head is part of some loss, so that no
            parameter lacks a gradient.
        """
        raise NotImplementedError


@contextmanager
def recording_calls(owner: Any, method: str, record: Callable[..., None]) -> Iterator[None]:
    """Report each call of an object's method while the context lasts.

    mmdet's RoI heads drop the targets they assigned, and no hook of torch sees them. So the
    method is shadowed on this object alone, and back in place afterwards. ``record`` is called
    with the result and then the arguments.
    """
    original, shadowed = getattr(owner, method), vars(owner).get(method)

    def recorded(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        record(result, *args, **kwargs)
        return result

    vars(owner)[method] = recorded
    try:
        yield
    finally:
        del vars(owner)[method]
        if shadowed is not None:  # a user's own wrapper
            vars(owner)[method] = shadowed


def zero_loss(*outputs: Tensor) -> Tensor:
    """Return a loss of zero that depends on outputs nobody trains.

    Several processes reduce a gradient for every parameter, so each has to have one.
    """
    # The sum of no entries, since zero times an infinite one would not be zero.
    return sum(output.flatten()[:0].float().sum() for output in outputs)  # type: ignore[return-value]


def has_stock_methods(obj: Any, classes: tuple[type, ...], methods: tuple[str, ...]) -> bool:
    """Return whether an object is of one of the classes and has that class's own methods."""
    return isinstance(obj, classes) and all(
        any(getattr(type(obj), method) is getattr(c, method) for c in classes) for method in methods
    )
