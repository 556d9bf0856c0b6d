"""The training step of GradAug (algorithm 1 of the paper), for every model and number of processes.

The full network and then each sub-network run forward and backward one after the other, so
that only one pass's activations are alive; their gradients add up; the optimizer steps once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import detect_anomalous_params, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..transforms import GeometricMap
from .recompute import recomputing
from .sampler import Subnet
from .timing import PassTimer

UNTOUCHED = 'The weights are as they were before this step (BatchNorm statistics are not)'


def gradaug_step(model: Any, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Any]:
    """Train the full network and the iteration's sub-networks on a batch.

    Args:
        model: A model with :class:`~mmgradaug.training.GradAugMixin`, or its wrapper for
            several processes.
        data: A batch from the data loader, before the data preprocessor.
        optim_wrapper: The runner's optimizer wrapper: gradient accumulation, mixed precision
            and clipping are its own.

    Returns:
        Values to log: the full network's losses under their stock names, ``loss`` summed
        over all passes, and ``full/...`` and ``subnet1/...`` values of each pass.

    Raises:
        TypeError: If ``optim_wrapper`` holds several optimizers.
        FloatingPointError: If a loss is NaN or infinite; the weights are as before the step.
    """
    if not isinstance(optim_wrapper, OptimWrapper) or isinstance(optim_wrapper, OptimWrapperDict):
        raise TypeError(
            f'GradAug needs one OptimWrapper, got {type(optim_wrapper).__name__}: configure a '
            'single optimizer in optim_wrapper'
        )
    module = model.module if is_model_wrapper(model) else model
    with optim_wrapper.optim_context(model):  # as mmengine's own step does
        batch = module.data_preprocessor(data, True)
    subnets = module.sample_subnets()
    timer = PassTimer(batch['inputs'].device)
    with module.teacher_outputs():
        results = [_train_pass(model, batch, None, optim_wrapper, last=not subnets)]
        timer.mark()
        for subnet in subnets:
            last = subnet is subnets[-1]
            results.append(_train_pass(model, batch, subnet, optim_wrapper, last=last))
            timer.mark()
    _require_finite(results, [None, *subnets], optim_wrapper, batch)
    optim_wrapper._inner_count += 1  # one batch, however many passes: see `_counted_once`
    if optim_wrapper.should_update():
        optim_wrapper.step()
        optim_wrapper.zero_grad()
    return _merge_logs(results, timer.seconds())


def _train_pass(
    model: Any, batch: dict, subnet: Subnet | None, optim_wrapper: OptimWrapper, last: bool
) -> dict[str, Tensor]:
    """Forward and backward of one pass; ``subnet`` None is the full network.

    Only the last pass synchronises gradients between processes, which sends their sum once.
    """
    module = model.module if is_model_wrapper(model) else model
    syncing = nullcontext() if last or not hasattr(model, 'no_sync') else model.no_sync()
    with syncing, running_as(module, subnet), _counted_once(optim_wrapper):
        with optim_wrapper.optim_context(model):
            losses, mapping = run_pass(model, batch, subnet)
        loss, logs = module.parse_losses(losses)
        if getattr(model, 'detect_anomalous_params', False):
            detect_anomalous_params(loss, model=model)
        optim_wrapper.backward(optim_wrapper.scale_loss(loss))
    return _pass_logs(logs, subnet, mapping) | _depth_log(module, subnet)


def running_as(module: Any, subnet: Subnet | None) -> AbstractContextManager[Any]:
    """Run a module as a sub-network, or as it is; it has to hold until the backward is done.

    Checkpointed layers run forward again there.
    """
    return nullcontext() if subnet is None else subnet.active_in(module)


def run_pass(
    model: Any, batch: dict, subnet: Subnet | None
) -> tuple[dict[str, Any], GeometricMap | None]:
    """Forward of one pass of the network that is set, see :func:`running_as`.

    Args:
        model: As of :func:`gradaug_step`.
        batch: A preprocessed batch, which is not changed.
        subnet: The sub-network; None is the full network.

    Returns:
        The pass's losses, and where its transform moved things.
    """
    module = model.module if is_model_wrapper(model) else model
    own = {**batch, 'data_samples': _own_samples(batch.get('data_samples'))}
    if subnet is None:
        return model(**own, mode='full'), None
    images, mapping = subnet.transform(batch['inputs'])
    own['inputs'] = module.pad_images(images)
    with _saving_memory(module, mapping):
        return model(**own, mode='subnet', mapping=mapping), mapping


def _saving_memory(module: Any, mapping: GeometricMap) -> AbstractContextManager[None]:
    """Recompute activations where a sub-network's images are about as large as the full pass's."""
    scale_x, scale_y = mapping.scale
    return (
        recomputing(module) if scale_x * scale_y > module.gradaug.recompute_above else nullcontext()
    )


def _own_samples(samples: Any) -> Any:
    """Copies of data samples, their tensors shared, since some heads replace their fields."""
    if isinstance(samples, (list, tuple)):
        return [_own_samples(sample) for sample in samples]
    if not isinstance(samples, BaseDataElement):
        return samples
    copy = samples.clone()
    for name, value in samples.items():
        if isinstance(value, BaseDataElement):
            setattr(copy, name, value.clone())
    return copy


@contextmanager
def _counted_once(optim_wrapper: OptimWrapper) -> Iterator[None]:
    """Keep a pass from counting as a batch in gradient accumulation.

    ``backward`` advances the wrapper's count, on which ``should_update``, ``should_sync`` and
    ``scale_loss`` rely; n+1 passes are one batch.
    """
    count = optim_wrapper.inner_count
    try:
        yield
    finally:
        optim_wrapper._inner_count = count


def _pass_logs(
    logs: dict[str, Tensor], subnet: Subnet | None, mapping: GeometricMap | None
) -> dict[str, Any]:
    """What a pass logs: detached losses and statistics, and for a sub-network what it was."""
    values = {k: v.detach() for k, v in logs.items() if not k.endswith('_untrained')}
    if subnet is None or mapping is None:
        return values
    scale_x, scale_y = mapping.scale
    what = {'width': subnet.width, 'scale': (scale_x * scale_y) ** 0.5, 'turns': mapping.turns}
    return {**what, **values}


def _depth_log(module: Any, subnet: Subnet | None) -> dict[str, float]:
    """Share of residual blocks that a sub-network of random depth has."""
    kept = None if subnet is None else subnet.kept_blocks(module)
    return {} if kept is None else {'depth': sum(kept) / len(kept)}


def _require_finite(
    results: list[dict[str, Any]],
    subnets: list[Subnet | None],
    optim_wrapper: OptimWrapper,
    batch: dict[str, Any],
) -> None:
    """Raise before the optimizer steps if the loss of a pass is not a number.

    All passes of all processes are checked at once, which makes a GPU wait once a step; where
    one process stops, all do.
    """
    finite = torch.stack([result['loss'] for result in results]).isfinite()
    everywhere = finite.int()
    all_reduce(everywhere, 'min')
    if everywhere.all():
        return
    optim_wrapper.zero_grad()
    own = finite.tolist()
    if all(own):
        raise FloatingPointError(
            'the loss of a pass is not finite on another process, whose message says more; '
            f'{UNTOUCHED}'
        )
    index = own.index(False)
    terms = {k: float(v) for k, v in results[index].items() if isinstance(v, Tensor)}
    terms_text = ', '.join(f'{key}={value:.4g}' for key, value in terms.items())
    raise FloatingPointError(
        f'the loss of pass {index} ({_describe(subnets[index], results[index])}) is '
        f'{terms["loss"]}, expected a finite number ({terms_text}). {UNTOUCHED}. Lower the '
        "learning rate, clip gradients (optim_wrapper.clip_grad), or check this batch's labels"
        f'{_images_of(batch.get("data_samples"))}'
    )


def _images_of(samples: Any, most: int = 16) -> str:
    """Files of a batch's images, for the end of a message; nothing where samples do not say."""
    nested = samples if isinstance(samples, (list, tuple)) else [samples]
    flat = [s for part in nested for s in (part if isinstance(part, (list, tuple)) else [part])]
    paths = [s.get('img_path') for s in flat if isinstance(s, BaseDataElement)]
    named = [str(path) for path in paths if path]
    more = f', ... ({len(named)} in all)' if len(named) > most else ''
    return f', of {", ".join(named[:most])}{more}' if named else ''


def _describe(subnet: Subnet | None, result: dict[str, Any]) -> str:
    """A pass in words."""
    if subnet is None:
        return 'the full network, width 1.0, scale 1.0'
    depth = f' and depth {result["depth"]:.4g}' if 'depth' in result else ''
    return f'a sub-network of width {subnet.width:.4g}{depth} at scale {result["scale"]:.4g}'


def _merge_logs(results: list[dict[str, Any]], seconds: list[float]) -> dict[str, Any]:
    """One flat dict: the full pass's own names, the total, and every pass's values."""
    full, *subnets = results
    merged: dict[str, Any] = dict(full)
    merged['loss'] = torch.stack([result['loss'] for result in results]).sum()
    merged['full/loss'] = full['loss']
    merged['full/seconds'] = seconds[0]
    for index, result in enumerate(subnets, start=1):
        merged |= {f'subnet{index}/{key}': value for key, value in result.items()}
        merged[f'subnet{index}/seconds'] = seconds[index]
    return merged
