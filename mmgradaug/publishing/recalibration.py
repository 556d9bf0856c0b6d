"""BatchNorm statistics for a sub-network, which training never keeps.

Only the full network's passes update running statistics, so those of a narrow width do not exist.
They are the average, over images, of what each layer sees at that width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..engine.errors import warn
from ..engine.loading import endless
from ..engine.samples import name_samples
from ..slimmable import at_width


def training_batches(cfg: Config, images: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Batches of a config's training data that hold ``images`` images together.

    The data are gone through again where they have fewer, with a warning. The same seed gives the
    same images.

    Raises:
        ValueError: If ``images`` is below 1.
    """
    if images < 1:
        raise ValueError(f'images to recalibrate on must be at least 1, got {images}')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    set_random_seed(seed)
    left, loader = images, Runner.build_dataloader(cfg.train_dataloader, seed=seed)
    if images > len(loader.dataset):
        warn(
            f'{images} images to recalibrate on, and the training data have {len(loader.dataset)}: '
            'they are gone through again'
        )
    name_samples(loader.dataset, 'train_dataloader')
    for batch in endless(loader):
        yield {key: value[:left] for key, value in batch.items()}
        left -= len(batch['inputs'])
        if left <= 0:
            return


def recalibrate(model: Any, width: float, batches: Iterable[dict[str, Any]]) -> int:
    """Replace BatchNorm's running statistics by their averages at a width.

    Every BatchNorm that the images reach normalises by its batch, as in training; everything
    else is in evaluation mode. Means and (unbiased) variances of batches are averaged with the
    number of images as weight, into the first channels of the running statistics: the ones that
    the sub-network reads. The others stay.

    Args:
        model: A detector; its statistics are changed.
        width: Share of the channels, in (0, 1].
        batches: Batches as the data loader gives them.

    Returns:
        The number of images.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    sums = {norm: _Sums() for norm in norms if norm.running_mean is not None}
    total = 0
    with _normalising_by_batch(model, norms), at_width(model, width), torch.no_grad():
        for batch in batches:
            data = model.data_preprocessor(batch, False)
            count = len(data['inputs'])
            with _watching(sums, count):
                _forward(model, data)
            total += count
    for norm, seen in sums.items():
        seen.write_to(norm)
    return total


def _forward(model: Any, data: dict[str, Any]) -> None:
    """Run every layer with a BatchNorm, and no more than needed."""
    inside = ('backbone.', 'neck.')
    names = [name for name, m in model.named_modules() if isinstance(m, _BatchNorm)]
    if all(name.startswith(inside) for name in names):
        model.extract_feat(data['inputs'])
    else:
        model(data['inputs'], data['data_samples'], mode='tensor')


class _Sums:
    """Sums over images of a layer's batch statistics (C_active,)."""

    def __init__(self) -> None:
        self.mean: Tensor | float = 0.0
        self.var: Tensor | float = 0.0
        self.images = 0
        self.batches = 0

    def add(self, x: Tensor, images: int) -> None:
        """Add the statistics of a layer's input (N, C_active, ...)."""
        channels = x.detach().float().transpose(0, 1).flatten(1)
        var, mean = torch.var_mean(channels, dim=1, correction=1)
        self.mean, self.var = self.mean + images * mean, self.var + images * var
        self.images += images
        self.batches += 1

    def write_to(self, norm: _BatchNorm) -> None:
        """Make the averages the layer's running statistics; nothing if it was not reached."""
        if not self.images:
            return
        assert norm.running_mean is not None and norm.running_var is not None
        mean, var = torch.as_tensor(self.mean), torch.as_tensor(self.var)
        norm.running_mean[: len(mean)] = mean / self.images
        norm.running_var[: len(var)] = var / self.images
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(self.batches)


@contextmanager
def _watching(sums: dict[_BatchNorm, _Sums], images: int) -> Iterator[None]:
    """Within the context, what enters the layers is added to their sums."""
    with ExitStack() as stack:
        for norm, seen in sums.items():
            hook = norm.register_forward_pre_hook(
                lambda module, args, seen=seen: seen.add(args[0], images)
            )
            stack.callback(hook.remove)
        yield


@contextmanager
def _normalising_by_batch(model: nn.Module, norms: list[_BatchNorm]) -> Iterator[None]:
    """Evaluation mode but for BatchNorm; afterwards every module's own mode."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for norm in norms:
            norm.training = True  # `at_width` then keeps it from the running statistics
        yield
    finally:
        for module, training in modes:
            module.training = training
