from pathlib import Path

import pytest
from environment import cuda

CUDA_12, CUDA_13 = {'/opt/cuda-12': '12.8'}, {'/usr/local/cuda': '13.0'}


@pytest.mark.parametrize(
    ('gpu', 'toolkits', 'torch_cuda', 'home', 'warned'),
    [
        (False, {}, '12.8', None, False),
        (False, CUDA_12, '12.8', None, False),
        (True, CUDA_12, '12.8', '/opt/cuda-12', False),
        (True, {'/opt/cuda-12': '12.1'}, '12.8', '/opt/cuda-12', False),
        (True, {**CUDA_13, **CUDA_12}, '12.8', '/opt/cuda-12', False),
        (True, CUDA_13, '12.8', None, True),
        (True, {}, '12.8', None, True),
        (True, CUDA_12, None, None, True),
    ],
)
def test_choose_build(
    gpu: bool, toolkits: dict[str, str], torch_cuda: str | None, home: str | None, warned: bool
) -> None:
    build = cuda.choose_build(gpu, toolkits, torch_cuda)
    assert build.cuda_home == home
    assert bool(build.warning) == warned


def test_environment_overrules_the_search_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda.glob, 'glob', lambda pattern: ['/dev/nvidia0'])
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    assert cuda.has_gpu()
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert not cuda.has_gpu()
    monkeypatch.setenv('FORCE_CUDA', '1')
    assert cuda.has_gpu()
    monkeypatch.setenv('FORCE_CUDA', '0')
    assert not cuda.has_gpu()


def test_toolkits_are_read_from_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 12.8, V12.8.93"\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    assert str(tmp_path) not in cuda.find_toolkits()  # no headers
    header = tmp_path / 'targets' / 'x86_64-linux' / 'include' / 'cuda_runtime.h'
    header.parent.mkdir(parents=True)
    header.touch()
    assert next(iter(cuda.find_toolkits().items())) == (str(tmp_path), '12.8')


def test_toolkits_are_described_for_a_person() -> None:
    assert cuda.describe_toolkits({**CUDA_12, **CUDA_13}) == (
        '12.8 in /opt/cuda-12, 13.0 in /usr/local/cuda'
    )
    assert cuda.describe_toolkits({}) == 'none'
