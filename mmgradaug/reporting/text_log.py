"""What only the text log of a run of mmengine tells: environment, versions, resuming, time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

_HEADER = re.compile(r'^(System|Runtime) environment:$')
_FACT = re.compile(r'^ {4}(\S[^:]*): (.*)$')
_RULE = re.compile(r'^-{20,}$')
_STAMP = re.compile(r'^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?= - )', re.MULTILINE)
_RESUMED = re.compile(r' resumed epoch: (\d+), iter: (\d+)$', re.MULTILINE)
_VERSIONS = re.compile(r' Versions: (.+)$', re.MULTILINE)


@dataclass(frozen=True)
class TextLog:
    """The text log of one start of a run.

    Attributes:
        environment: mmengine's header, such as ``PyTorch`` and ``seed``.
        versions: Of the packages, by name, where the run had our ``VersionsHook``.
        resumed: Epochs and iterations done when it was resumed; zeros if it started anew.
        seconds: From its first line to its last.
    """

    environment: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    resumed: tuple[int, int] = (0, 0)
    seconds: float = 0.0


def read_text_log(path: Path) -> TextLog:
    """Read the text log that mmengine writes; what it does not hold stays empty."""
    text = path.read_text(encoding='utf-8', errors='replace')
    resumed = _RESUMED.findall(text)
    versions = _VERSIONS.findall(text)
    return TextLog(
        environment=_environment(text.splitlines()),
        versions=_versions(versions[-1]) if versions else {},
        resumed=(int(resumed[-1][0]), int(resumed[-1][1])) if resumed else (0, 0),
        seconds=_duration(_STAMP.findall(text)).total_seconds(),
    )


def _environment(lines: list[str]) -> dict[str, str]:
    """The facts of the header that take one line each."""
    found: dict[str, str] = {}
    inside = False
    for line in lines:
        if _HEADER.match(line):
            inside = True
        elif _RULE.match(line):
            if 'Python' in found and inside:
                break
        elif inside and (match := _FACT.match(line)):
            found[match[1]] = match[2].strip()
    return found


def _versions(text: str) -> dict[str, str]:
    """Versions by name, from ``mmdet 3.3.0, torch 2.10.0``."""
    pairs = (part.split(' ', 1) for part in text.split(', '))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _duration(stamps: list[str]) -> timedelta:
    """From the first stamp to the last; nothing if one of them is no date."""
    try:
        first, last = (datetime.strptime(s, '%Y/%m/%d %H:%M:%S') for s in (stamps[0], stamps[-1]))
    except (IndexError, ValueError):
        return timedelta()
    return last - first
