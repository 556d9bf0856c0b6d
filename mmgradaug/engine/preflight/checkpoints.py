"""Checkpoints that a run will load: there, whole, and of this network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS
from torch import Tensor, nn

from ...checkpoints.damage import is_damaged
from ...checkpoints.reading import read_checkpoint, weights_of
from ...type_names import class_of
from ..errors import warn

_RESUMED = ('meta', 'message_hub')
_COUNTERS = 'num_batches_tracked'  # files of old torch versions do not have them


@dataclass(frozen=True)
class CheckpointUse:
    """A checkpoint and what for.

    Attributes:
        path: The local file.
        purpose: ``'test'``: every weight of the model has to be in it. ``'resume'``: the model's
            weights, no others, and the state of the run. ``'start'``: the backbone's weights;
            heads may differ, as they do in fine-tuning to other classes.
        key: The config key or option that names it.
    """

    path: Path
    purpose: str
    key: str


@dataclass(frozen=True)
class Misfit:
    """Keys by which a checkpoint differs from a model.

    Attributes:
        missing: The model's, not in the file.
        unexpected: The file's, not in the model.
        misshaped: In both, of other shapes.
        total: Number of the model's keys.
    """

    missing: list[str]
    unexpected: list[str]
    misshaped: list[str]
    total: int

    def __str__(self) -> str:
        """Counts and the first few of each kind."""
        kinds = {
            'missing': self.missing,
            'of another shape': self.misshaped,
            'unexpected': self.unexpected,
        }
        texts = [
            f'{len(keys)} {kind} ({", ".join(keys[:3])}{", ..." if len(keys) > 3 else ""})'
            for kind, keys in kinds.items()
            if keys
        ]
        return f'of {self.total} entries ' + '; '.join(texts)


def checkpoint_use(cfg: Config, args: Any, work_dir: Path) -> CheckpointUse | None:
    """The local checkpoint that a command line or its config makes a run load, if any.

    Args:
        cfg: The run's config.
        args: Parsed options of mmdet's ``tools/train.py`` (``resume``) or ``tools/test.py``
            (``checkpoint``).
        work_dir: Where ``--resume`` without a path looks.
    """
    if hasattr(args, 'checkpoint'):
        found = (args.checkpoint, 'test', 'CHECKPOINT')
    elif args.resume == 'auto' or (
        args.resume is None and cfg.get('resume') and not cfg.get('load_from')
    ):
        latest = work_dir / 'last_checkpoint'  # absent before the first checkpoint: a fresh start
        named = latest.read_text().strip() if latest.is_file() else None
        # From a damaged one SafeCheckpointHook falls back to the newest that is complete.
        usable = named if named and ('://' in named or not is_damaged(named)) else None
        found = (usable, 'resume', str(latest))
    elif args.resume is not None:
        found = (args.resume, 'resume', '--resume')
    else:
        found = (cfg.get('load_from'), 'resume' if cfg.get('resume') else 'start', 'load_from')
    path, purpose, key = found
    return CheckpointUse(Path(path), purpose, key) if path and '://' not in path else None


def averages_weights(cfg: Config) -> bool:
    """Whether a run averages its weights, with ``EMAHook``."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]
    kinds = [class_of(hook.get('type'), HOOKS) for hook in hooks if isinstance(hook, Mapping)]
    return any(kind is not None and issubclass(kind, EMAHook) for kind in kinds)


def check_checkpoint(model: nn.Module, use: CheckpointUse, averaging: bool = True) -> None:
    """Raise unless a checkpoint can be loaded for its purpose.

    Args:
        model: The network, whose weights may be replaced.
        use: The checkpoint and its purpose.
        averaging: Whether the run averages weights.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is damaged, not a checkpoint, holds more than plain data, or does not
            fit. Differences that do not matter to the purpose are warned of.
    """
    content = read_checkpoint(use.path, use.key)
    _check_fit(misfit_of(model, weights_of(content, use.path)), use)
    lacks = [name for name in _RESUMED if name not in content]
    if use.purpose == 'resume' and lacks:
        raise ValueError(
            f'{use.path} ({use.key}) has no {" and no ".join(lacks)}: it holds weights to start '
            'from or to test, not a run to resume; start a new run from it with load_from'
        )
    if use.purpose == 'resume' and 'ema_state_dict' in content and not averaging:
        raise ValueError(
            f'{use.path} ({use.key}) is of a run that averages its weights, and this one does not: '
            'it would go on from the averages with the momentum of other weights; add '
            "default_hooks=dict(ema=dict(type='EMAHook', ...)) as it had, or start a new run from "
            'the averages with load_from'
        )


def load_weights(model: nn.Module, path: str) -> None:
    """Load a checkpoint, all of whose weights have to be the model's.

    Raises:
        FileNotFoundError, ValueError: As :func:`check_checkpoint`.
    """
    use = CheckpointUse(Path(path), 'test', 'CHECKPOINT')
    _check_fit(misfit_of(model, weights_of(read_checkpoint(use.path, use.key), use.path)), use)


def misfit_of(model: nn.Module, weights: Mapping[str, Tensor]) -> Misfit:
    """Load what fits into a model, by torch's own rules, and say what does not.

    Modules rename keys of older files while they load, so that keys cannot just be compared.
    """
    own = model.state_dict()
    misshaped = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    fitting = OrderedDict((k, v) for k, v in weights.items() if k not in misshaped)
    if hasattr(weights, '_metadata'):
        fitting._metadata = weights._metadata  # type: ignore[attr-defined]
    result = model.load_state_dict(fitting, strict=False)
    missing = [k for k in result.missing_keys if k not in misshaped and _COUNTERS not in k]
    return Misfit(missing, list(result.unexpected_keys), misshaped, len(own))


def _check_fit(misfit: Misfit, use: CheckpointUse) -> None:
    """Raise where a misfit matters to the purpose, warn where there is another."""
    wrong = misfit.missing + misfit.misshaped
    if use.purpose == 'resume':
        wrong = wrong + misfit.unexpected
    if use.purpose == 'start' and len(wrong) < misfit.total:
        wrong = _of_backbone([*wrong, *misfit.unexpected])
    if wrong:
        raise ValueError(
            f'{use.path} ({use.key}) has weights of another network: {misfit}: use a checkpoint '
            'of this config, or the config the checkpoint was trained with'
        )
    if misfit.missing or misfit.misshaped or misfit.unexpected:
        warn(f'{use.path} ({use.key}) differs from the model: {misfit}; these are left as they are')


def _of_backbone(keys: Iterable[str]) -> list[str]:
    """Keys of a backbone, which no change of classes changes; classifiers bring an ``fc``."""
    return [k for k in keys if k.startswith('backbone.') and not k.startswith('backbone.fc.')]
