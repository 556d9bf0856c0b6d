"""BatchNorm statistics of a sub-network, which training does not keep.

Only the full network's passes update running statistics. Those of a narrower width are averaged
over training images afterwards, as ``torch.optim.swa_utils.update_bn`` does, with three
differences: batches weigh by their images, only BatchNorm is in training mode (also where
``norm_eval`` would freeze it), and layers of a neck or a head outside the slimmable backbone count.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, repeat
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..engine.hooks.bad_images import check_loading
from ..errors import ConfigError
from ..slimmable import at_width


def training_batches(cfg: Config, images: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield batches of a config's training data that hold ``images`` images together.

    Smaller data are gone through again. The same seed gives the same images.
    """
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    set_random_seed(seed)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=seed)
    check_loading(loader.dataset)
    for batch in chain.from_iterable(repeat(loader, images)):
        yield {key: value[:images] for key, value in batch.items()}
        images -= len(batch['inputs'])
        if images <= 0:
            return


@torch.no_grad()
def recalibrate(model: Any, width: float, batches: Iterable[dict[str, Any]]) -> None:
    """Replace BatchNorm's running statistics by their averages over images at a width.

    Means and (unbiased) variances go into the first channels: those that the sub-network reads.
    The others, and layers that no image reaches, stay. The detector or classifier is in evaluation
    mode; batches are as the data loader gives them.

    Raises:
        ConfigError: If there is no batch.
    """
    seen: dict[Any, list[tuple[int, Tensor, Tensor]]] = defaultdict(list)

    def record(norm: Any, args: tuple[Tensor, ...]) -> None:
        channels = args[0].float().transpose(0, 1).flatten(1)
        seen[norm].append((len(data['inputs']), *torch.var_mean(channels, dim=1)))

    with ExitStack() as stack:
        # Puts slimmable layers back where others were converted.
        stack.enter_context(at_width(model, width))
        named = {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}
        norms = {n: norm for n, norm in named.items() if norm.running_mean is not None}
        for norm in norms.values():
            stack.enter_context(norm.register_forward_pre_hook(record))
            # Normalise by the batch; until `at_width` ends, which puts both back.
            norm.training, norm.track_running_stats = True, False
        needs_heads = not all(name.startswith(('backbone.', 'neck.')) for name in norms)
        for batch in batches:
            data = model.data_preprocessor(batch, False)
            if needs_heads:
                model(data['inputs'], data['data_samples'], mode='tensor')
            else:
                model.extract_feat(data['inputs'])
    if norms and not seen:
        raise ConfigError('train_dataloader gives no batch to recalibrate BatchNorm statistics on')
    for norm, found in seen.items():
        counts, variances, means = zip(*found, strict=True)
        weights = torch.tensor(counts, dtype=torch.float32, device=means[0].device) / sum(counts)
        norm.running_mean[: len(means[0])] = weights @ torch.stack(means)
        norm.running_var[: len(variances[0])] = weights @ torch.stack(variances)
