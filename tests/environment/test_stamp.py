import dataclasses
import sys
from pathlib import Path

import pytest
from environment import stamp
from environment.stack import MAIN, STOCK


def test_fingerprint_follows_files_and_toolkits() -> None:
    inputs = {'requirements.lock': b'torch==2.10.0\n', 'setup.py': b''}
    known = stamp.fingerprint(inputs, {})
    assert stamp.fingerprint(dict(reversed(inputs.items())), {}) == known
    changed = {**inputs, 'requirements.lock': b'torch==2.10.1\n'}
    assert stamp.fingerprint(changed, {}) != known
    assert stamp.fingerprint(inputs, {'/opt/cuda-12': '12.8'}) != known
    # The same bytes cut differently between two files are another input.
    moved = {'requirements.lock': b'torch==2.10.0', 'setup.py': b'\n'}
    assert stamp.fingerprint(moved, {}) != known


def test_fingerprint_follows_python_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    known = stamp.fingerprint({}, {})
    with monkeypatch.context() as patch:
        patch.setattr(stamp.platform, 'python_version', lambda: '3.12.99')
        assert stamp.fingerprint({}, {}) != known
    monkeypatch.setattr(stamp, 'ROOT', Path('/elsewhere'))
    assert stamp.fingerprint({}, {}) != known


def test_stamp_counts_only_if_whole_equal_and_with_a_python(tmp_path: Path) -> None:
    file, python = tmp_path / 'stamp.json', Path(sys.executable)
    assert stamp.read_stamp(file) == {}
    file.write_text('{"fingerprint": "ab')  # the machine went down while it was written
    assert stamp.read_stamp(file) == {}
    file.write_text('{"fingerprint": "abc"}')
    read = stamp.read_stamp(file)
    assert stamp.is_current(read, 'abc', python)
    assert not stamp.is_current(read, 'abd', python)
    assert not stamp.is_current(read, 'abc', tmp_path / 'bin' / 'python')
    assert not stamp.is_current({}, 'abc', python)


def test_stamp_is_read_as_it_was_written(tmp_path: Path) -> None:
    stack = dataclasses.replace(MAIN, folder=tmp_path)
    stamp.write_stamp(stack, 'abc', '/cache/mmcv')
    read = stamp.read_stamp(stamp.stamp_file(stack))
    assert (read['fingerprint'], read['mmcv']) == ('abc', '/cache/mmcv')


def test_set_up_follows_its_own_code_and_its_locks() -> None:
    names = {path.name for path in stamp.input_files(MAIN)}
    assert {'requirements.lock', 'requirements.txt', 'setup.py', 'setup_env.py'} <= names
    assert {'stack.py', 'mmcv_build.py'} <= names
    added = {path.name for path in stamp.input_files(STOCK)} - names
    assert added == {'requirements-stock.lock'}
    assert stamp.current_fingerprint(MAIN) != stamp.current_fingerprint(STOCK)
