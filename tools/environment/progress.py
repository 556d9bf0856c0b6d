"""One updating line for each step, and what it says of the step's own output."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable


def say(text: str) -> None:
    """Prints a line of the set-up's own."""
    print(f'[setup] {text}', flush=True)


def clock(seconds: float) -> str:
    """Formats a duration as minutes and seconds."""
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


class PipStatus:
    """Turns pip's output, line by line, into what to show; None keeps what is shown.

    Args:
        installed: Counts the packages that are installed so far. pip says nothing while it
            unpacks them, in an order that it has said before.
    """

    def __init__(self, installed: Callable[[], int] = lambda: 0) -> None:
        self.file = ''
        self.installed = installed
        self.names: list[str] = []

    def __call__(self, line: str, elapsed: float) -> str | None:
        """Reads one line, or '' where there is none for a second."""
        if not line and self.names:
            return self._unpacking()
        if match := re.match(r'\s*(?:Downloading|Using cached) (\S+) \((.*)\)', line):
            # The name and version of .../torch-2.10.0-cp311-cp311-manylinux_2_28_x86_64.whl
            name = '-'.join(match[1].rsplit('/')[-1].split('-')[:2])
            self.file = f'{name} ({match[2]})'
            return self.file
        if match := re.match(r'Progress (\d+) of (\d+)', line):
            return f'downloading {self.file} {100 * int(match[1]) // max(1, int(match[2]))} %'
        if match := re.match(r'Installing collected packages: (.*)', line):
            self.names = match[1].split(', ')
            return self._unpacking()
        return None

    def _unpacking(self) -> str:
        """Returns which package is unpacked."""
        done = min(self.installed(), len(self.names) - 1)
        return f'unpacking {self.names[done]}, {done + 1} of {len(self.names)} packages'


def ninja_status(line: str, elapsed: float) -> str | None:
    """Turns a line of ninja's output, `[k/n] command`, into a count and the time left."""
    match = re.match(r'\s*\[(\d+)/(\d+)\]', line)
    if not match:
        return None
    done, total = int(match[1]), int(match[2])
    return f'{done}/{total} files, about {clock(elapsed / done * (total - done))} left'


class Progress:
    """One updating line on a terminal; elsewhere a line every 20 s."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.start = self.shown = time.monotonic()
        self.tty = sys.stdout.isatty()
        self.status = ''
        print(f'[setup] {title} ...', end='' if self.tty else '\n', flush=True)

    def elapsed(self) -> float:
        """Returns the seconds since the step began."""
        return time.monotonic() - self.start

    def show(self, end: str = '') -> None:
        """Shows the step as it stands."""
        text = f'[setup] {self.title}: {clock(self.elapsed())} {self.status}'
        self.shown = time.monotonic()
        if self.tty:
            text = '\r\033[K' + text[: shutil.get_terminal_size().columns - 1]
        print(text, end=end if self.tty else '\n', flush=True)

    def tick(self) -> None:
        """Shows the step if it has not been shown for a while."""
        if time.monotonic() - self.shown >= (1 if self.tty else 20):
            self.show()

    def finish(self, status: str) -> None:
        """Shows the end of the step."""
        self.status = status
        self.show(end='\n')
