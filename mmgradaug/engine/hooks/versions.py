"""A run's log says which versions it ran with."""

from __future__ import annotations

import sys
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

PACKAGES = ('mmgradaug', 'mmdet', 'mmcv', 'mmengine', 'torch', 'torchvision', 'numpy')


@HOOKS.register_module()
class VersionsHook(Hook):
    """Logs a line with the versions of the packages; mmengine's header lacks most of them."""

    def before_run(self, runner: Any) -> None:
        """Log them."""
        runner.logger.info('Versions: %s', ', '.join(f'{k} {v}' for k, v in versions().items()))


def versions() -> dict[str, str]:
    """Return the versions of the imported packages, as they tell them themselves."""
    found = {name: getattr(sys.modules.get(name), '__version__', None) for name in PACKAGES}
    return {name: str(version) for name, version in found.items() if version}
