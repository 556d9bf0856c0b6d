"""What a run prints: one short line per entry. Its log file has everything."""

import logging
import re
from statistics import fmean
from typing import Any

from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.runner import BaseLoop, Runner

from ..errors import ConfigError

# mmengine's about its own code, which users cannot change.
_OF_OTHERS = r'"(FileClient|HardDiskBackend)" (will be deprecated|is the alias)|Exp name: '


def short(entry: str) -> str:
    """Return an entry of a GradAug iteration with its losses alone: the sum, the full network's.

    The sub-networks' are summed up by how often they agree with the full network.
    """
    values = dict(re.findall(r'(\S+): ([-+.\w]+)', entry))
    if 'full/loss' not in values:
        return entry
    parts = [n for n in values if 'loss' in n and '/' not in n and n != 'loss']
    words = [f'{name}: {float(values[name]):.3f}' for name in ('loss', 'full/loss', *parts)]
    agreement = [float(value) for name, value in values.items() if '/agree' in name]
    if agreement:
        words.append(f'agree: {fmean(agreement):.3f}')
    eta = re.findall(r'eta: .+?(?=  |$)', entry)
    return '  '.join([f'{entry.partition("]  ")[0]}]', *eta, *words])


class ShortFormatter(MMFormatter):
    """mmengine's format of shortened entries; the log file gets the same records, in full."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        return short(super().format(record))


def is_shown(record: logging.LogRecord) -> bool:
    """Return whether a record belongs on the console: no dumps of config and environment."""
    text = str(record.msg)
    dump = record.levelno == logging.INFO and record.module == 'runner' and '\n' in text
    return not dump and not re.match(_OF_OTHERS, text)


class ShortRunner(Runner):
    """mmengine's runner with a short console, unless ``log_level`` is ``'DEBUG'``."""

    def build_train_loop(self, *args: Any, **kwargs: Any) -> BaseLoop:
        """Build the loop; schedules, which come next, end in riddles if it has no batch."""
        loop = super().build_train_loop(*args, **kwargs)
        if not len(loop.dataloader):
            raise ConfigError(
                'train_dataloader gives no batch to a process, expected at least one: check the '
                'annotation file, filter_cfg, and batch_size if drop_last=True'
            )
        return loop

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; only what it prints is short."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler and handler.level > logging.DEBUG:
                handler.setFormatter(ShortFormatter(color=True, datefmt='%m/%d %H:%M:%S'))
                handler.addFilter(is_shown)
        return logger
