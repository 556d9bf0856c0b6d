"""The two sets of packages, and the environment that each goes into."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / 'requirements.txt'
LOCK = ROOT / 'requirements.lock'
STOCK_LOCK = ROOT / 'requirements-stock.lock'


@dataclass(frozen=True)
class Stack:
    """OpenMMLab's packages under the names of one publisher, in an environment of their own.

    Attributes:
        folder: The virtual environment.
        command: The command that makes it.
        locks: The files that pin versions; all of them hold.
        distributions: What pip calls the packages that are imported as mmengine, mmcv and mmdet.
        extras: Further packages, installed without their dependencies.
    """

    folder: Path
    command: str
    locks: tuple[Path, ...]
    distributions: dict[str, str]
    extras: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / 'bin' / 'python'

    @property
    def log(self) -> Path:
        """Where the output of every step goes."""
        return self.folder / 'setup.log'

    @property
    def mmcv(self) -> str:
        """What pip calls mmcv.

        It has no wheel with compiled ops on PyPI, and its build must see the torch it will run
        with.
        """
        return self.distributions['mmcv']

    @property
    def no_deps(self) -> tuple[str, ...]:
        """What is installed without dependencies; `requirements.txt` lists those.

        OpenMMLab's ask for opencv-python, whose wheel needs libGL, which servers lack, and which
        overwrites the files of opencv-python-headless. timm asks for a client of a server of
        weights, with a dozen packages, which it only needs for downloads.
        """
        return (self.distributions['mmengine'], self.distributions['mmdet'], *self.extras)

    def pins(self) -> dict[str, str]:
        """Maps package to version, over all lock files."""
        return read_pins('\n'.join(lock.read_text() for lock in self.locks))


def read_pins(text: str) -> dict[str, str]:
    """Maps package to version in the text of a constraints file."""
    return dict(re.findall(r'^([\w.-]+)==([^\s;]+)', text, flags=re.MULTILINE))


# The maintained continuation, which the project is developed with.
MAIN = Stack(
    folder=ROOT / '.venv',
    command='make setup',
    locks=(LOCK,),
    distributions={
        'mmengine': 'onedl-mmengine',
        'mmcv': 'onedl-mmcv',
        'mmdet': 'onedl-mmdetection',
    },
    extras=('imaug', 'timm'),
)
# The original packages, which many users have.
STOCK = Stack(
    folder=ROOT / '.venv-stock',
    command='make setup-stock',
    locks=(LOCK, STOCK_LOCK),
    distributions={'mmengine': 'mmengine', 'mmcv': 'mmcv', 'mmdet': 'mmdet'},
    extras=('timm',),
)
