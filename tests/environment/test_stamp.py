import dataclasses
import sys
from pathlib import Path

import pytest
from environment import stamp
from environment.stack import MAIN, STOCK


def test_fingerprint_follows_files() -> None:
    inputs = {'requirements.lock': b'torch==2.10.0\n', 'setup.py': b''}
    known = stamp.fingerprint(inputs)
    assert stamp.fingerprint(dict(reversed(inputs.items()))) == known
    changed = {**inputs, 'requirements.lock': b'torch==2.10.1\n'}
    assert stamp.fingerprint(changed) != known
    # The same bytes cut differently between two files are another input.
    moved = {'requirements.lock': b'torch==2.10.0', 'setup.py': b'\n'}
    assert stamp.fingerprint(moved) != known


def test_fingerprint_follows_python_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    known = stamp.fingerprint({})
    with monkeypatch.context() as patch:
        patch.setattr(stamp.platform, 'python_version', lambda: '3.12.99')
        assert stamp.fingerprint({}) != known
    monkeypatch.setattr(stamp, 'ROOT', Path('/elsewhere'))
    assert stamp.fingerprint({}) != known


def test_stamp_counts_only_if_whole_equal_and_with_a_python(tmp_path: Path) -> None:
    file, python = tmp_path / 'stamp.json', Path(sys.executable)
    assert stamp.read_stamp(file) == {}
    file.write_text('{"fingerprint": "ab')  # the machine went down while it was written
    assert stamp.read_stamp(file) == {}
    file.write_text('{"fingerprint": "abc"}')
    read = stamp.read_stamp(file)
    assert stamp.is_current(read, 'abc', python, None)
    assert not stamp.is_current(read, 'abd', python, None)
    assert not stamp.is_current(read, 'abc', tmp_path / 'bin' / 'python', None)
    assert not stamp.is_current({}, 'abc', python, None)


def test_a_node_without_gpu_takes_what_one_with_a_gpu_built() -> None:
    python, toolkits = Path(sys.executable), {'/opt/cuda-12': '12.8'}
    built, on_cpu = ({'fingerprint': 'abc', 'cuda': cuda} for cuda in (toolkits, None))
    assert stamp.is_current(built, 'abc', python, None)
    assert stamp.is_current(built, 'abc', python, dict(toolkits))
    assert not stamp.is_current(on_cpu, 'abc', python, toolkits)
    assert not stamp.is_current(built, 'abc', python, {'/opt/cuda-12': '12.9'})
    assert not stamp.is_current(on_cpu, 'abc', python, {})  # a GPU, and no toolkit: it says so


def test_stamp_is_read_as_it_was_written(tmp_path: Path) -> None:
    stack = dataclasses.replace(MAIN, folder=tmp_path)
    stamp.write_stamp(stack, 'abc', '/cache/mmcv', {'/opt/cuda': '12.8'})
    read = stamp.read_stamp(stamp.stamp_file(stack))
    assert (read['fingerprint'], read['mmcv']) == ('abc', '/cache/mmcv')
    assert read['cuda'] == {'/opt/cuda': '12.8'}


def test_set_up_follows_its_own_code_and_its_locks() -> None:
    names = {path.name for path in stamp.input_files(MAIN)}
    assert {'requirements.lock', 'requirements.txt', 'setup.py', 'setup_env.py'} <= names
    assert {'stack.py', 'mmcv_build.py'} <= names
    added = {path.name for path in stamp.input_files(STOCK)} - names
    assert added == {'requirements-stock.lock'}
    assert stamp.current_fingerprint(MAIN) != stamp.current_fingerprint(STOCK)
