"""What a run prints: one short line an entry. Its log file has everything."""

from __future__ import annotations

import copy
import logging
import re
from statistics import fmean
from typing import Any

from mmengine.logging import MMLogger
from mmengine.logging.logger import MMFormatter
from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner

from ..type_names import class_of

# mmengine's about its own code, which users cannot change.
_OF_OTHERS = re.compile(
    r'"(FileClient|HardDiskBackend)" (will be deprecated|is the alias)|Exp name: '
)


class Entry(str):
    """A log entry in full, with the short one for the console."""

    __slots__ = ('short',)
    short: str


class ShortLogProcessor(LogProcessor):
    """mmengine's log processor, whose entries of GradAug iterations have a short form."""

    def get_log_after_iter(self, runner: Any, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Return values and text as mmengine does; the text knows its short form."""
        tag, text = super().get_log_after_iter(runner, batch_idx, mode)
        values = {self._remove_prefix(key, f'{mode}/'): value for key, value in tag.items()}
        if 'full/loss' not in values:
            return tag, text
        entry = Entry(text)
        names = [n for n in values if 'loss' in n and '/' not in n]
        shown = {name: values[name] for name in ('loss', 'full/loss', *names)}
        agreement = [value for name, value in values.items() if '/agree' in name]
        if agreement:
            shown['agree'] = fmean(agreement)
        head, eta = text.partition(']  ')[0], re.search(r'eta: \S+', text)
        words = [f'{head}]', *([eta[0]] if eta else [])]
        entry.short = '  '.join([*words, *(f'{k}: {float(v):.3f}' for k, v in shown.items())])
        return tag, entry


class ShortFormatter(MMFormatter):
    """mmengine's format, of the short form where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text."""
        if isinstance(record.msg, Entry):
            record = copy.copy(record)  # the log file gets the same one, in full
            record.msg = record.msg.short  # type: ignore[union-attr]
        return super().format(record)


def is_shown(record: logging.LogRecord) -> bool:
    """Return whether a record belongs on the console: no dumps of config and environment."""
    text = str(record.msg)
    dump = record.levelno == logging.INFO and record.module == 'runner' and '\n' in text
    return not dump and not _OF_OTHERS.match(text)


class ShortRunner(Runner):
    """mmengine's runner with a short console, unless ``log_level`` is ``'DEBUG'``."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; only what it prints is short."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler and handler.level > logging.DEBUG:
                handler.setFormatter(ShortFormatter(color=True, datefmt='%m/%d %H:%M:%S'))
                handler.addFilter(is_shown)
        return logger

    def build_log_processor(self, log_processor: Any) -> LogProcessor:
        """Build the log processor, one with short forms where the config names mmengine's."""
        if isinstance(log_processor, dict):
            kind = log_processor.get('type', LogProcessor)
            if class_of(kind, LOG_PROCESSORS) is LogProcessor:
                log_processor = {**log_processor, 'type': ShortLogProcessor}
        return super().build_log_processor(log_processor)
