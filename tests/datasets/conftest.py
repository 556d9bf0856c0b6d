"""Small wheels of our own: no network in tests."""

import hashlib
import zipfile
from dataclasses import replace

import pytest

from mmgradaug.datasets.wheels import WheelFiles


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Return a function that puts files into a data set's wheel; it returns the downloads made."""

    def use(module, *contents):
        source = module.SOURCE
        files = dict(zip(source.sha256, contents, strict=True))
        path, made = tmp_path / 'fake.whl', []
        with zipfile.ZipFile(path, 'w') as archive:
            for name, content in files.items():
                archive.writestr(f'{source.folder}/{name}', content)
            archive.writestr(f'fake.dist-info/licenses/{source.licence}', 'the licence')
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        monkeypatch.setattr(module, 'SOURCE', replace(source, sha256=hashes))
        monkeypatch.setattr(WheelFiles, 'download', lambda self, to: made.append(to) or path)
        return made

    return use
