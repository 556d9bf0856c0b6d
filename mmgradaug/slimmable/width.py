"""Run a model as one of its sub-networks."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .channels import check_width
from .layers import SlimConv, Slimmable, SlimmableNetwork, restore_slim_norms


def has_slimmable_layers(model: nn.Module) -> bool:
    """Return whether any layer of ``model`` changes with the width."""
    return any(isinstance(module, SlimConv) for module in model.modules())


@contextmanager
def at_width(model: nn.Module, width: float) -> Iterator[nn.Module]:
    """Run every slimmable layer inside ``model`` as the sub-network of a width.

    In training mode this is a sub-network pass of GradAug (section 3.1): every BatchNorm
    of the model, slimmable or not, frozen or not, normalises with its own batch statistics
    and leaves the running ones alone, at width 1.0 too. In evaluation mode BatchNorm reads
    the first running statistics, as the network of :func:`extract_subnet` does.

    The full network is restored on the way out, whatever happens inside; contexts nest.
    Back-propagate inside the context: gradient checkpointing runs the forward again.

    Args:
        model: Any module with slimmable layers somewhere inside.
        width: Share of the channels to keep, in (0, 1].

    Raises:
        ConfigError: If the width is not in (0, 1].
    """
    width = check_width(width)
    with own_statistics(model):
        parts = [module for module in model.modules() if isinstance(module, Slimmable)]
        widths = [part.width for part in parts]
        try:
            for part in parts:
                part.set_width(width)
            yield model
        finally:
            for part, before in zip(parts, widths, strict=True):
                part.set_width(before)


@contextmanager
def own_statistics(model: nn.Module) -> Iterator[None]:
    """In training mode, let each BatchNorm use its batch's statistics and keep the running ones."""
    for network in model.modules():
        if isinstance(network, SlimmableNetwork):
            restore_slim_norms(network)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    modes, kept = [(norm.training, norm.track_running_stats) for norm in norms], []
    try:
        for norm in norms:
            if not (model.training or norm.training):
                continue
            norm.training = True
            if isinstance(norm, nn.SyncBatchNorm) and norm.running_mean is not None:
                # Without any, torch's kernel takes no half precision: it gets some to throw away.
                kept.append((norm._buffers, dict(norm._buffers)))
                norm._buffers.update({name: b.clone() for name, b in norm.named_buffers()})
            else:
                norm.track_running_stats = False
        yield
    finally:
        for norm, (training, tracking) in zip(norms, modes, strict=True):
            norm.training, norm.track_running_stats = training, tracking
        for buffers, before in kept:
            buffers.update(before)
