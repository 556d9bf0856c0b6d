import dataclasses
from pathlib import Path

import pytest
from environment import mmcv_build
from environment.cuda import Build
from environment.errors import SetupError
from environment.mmcv_build import build_variables, compile_mmcv, install_mmcv, name_device
from environment.stack import MAIN, Stack


def test_cpu_build_hides_gpus_and_cuda_build_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MAX_JOBS', '3')
    cpu = build_variables(MAIN, Build(None), '9.0')
    assert (cpu['FORCE_CUDA'], cpu['CUDA_VISIBLE_DEVICES'], cpu['MAX_JOBS']) == ('0', '', '3')
    assert '-O2' in cpu['CFLAGS']
    cuda = build_variables(MAIN, Build('/opt/cuda-12'), '9.0')
    assert (cuda['FORCE_CUDA'], cuda['CUDA_HOME']) == ('1', '/opt/cuda-12')
    assert cuda['TORCH_CUDA_ARCH_LIST'] == '9.0'
    assert 'CUDA_VISIBLE_DEVICES' not in cuda


def test_device_part_of_the_key_names_toolkit_and_architectures() -> None:
    toolkits = {'/opt/cuda-12': '12.8'}
    assert name_device(Build(None), toolkits, '9.0') == 'cpu'
    assert name_device(Build('/opt/cuda-12'), toolkits, '8.0;9.0+PTX') == 'cuda12.8-8.0_9.0+PTX'
    assert name_device(Build('/opt/cuda-12'), toolkits, '') == 'cuda12.8-all'


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack in an empty folder, with a cache of its own, on a machine without GPU."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('FORCE_CUDA', '0')
    (tmp_path / 'venv' / 'bin').mkdir(parents=True)
    stack = dataclasses.replace(MAIN, folder=tmp_path / 'venv')
    torch = {'version': '2.10.0+cpu', 'cuda': None, 'archs': []}
    monkeypatch.setattr(mmcv_build, 'probe', lambda python, code: torch)
    return stack


def test_broken_torch_is_told_with_the_fix(machine: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmcv_build, 'probe', lambda python, code: {'error': 'ImportError: libc10'})
    with pytest.raises(SetupError, match='libc10') as error:
        install_mmcv(machine)
    assert error.value.fix == 'make setup FORCE=1'


def test_mmcv_is_compiled_once_and_then_taken_from_the_cache(
    machine: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, installed = [], []

    def compile_it(stack: Stack, requirement: str, entry: Path, env: dict[str, str]) -> None:
        compiled.append((requirement, env['CFLAGS']))
        entry.mkdir(parents=True)

    def install_it(stack: Stack, entry: Path) -> bool:
        installed.append(entry)
        return True

    monkeypatch.setattr(mmcv_build, 'compile_mmcv', compile_it)
    monkeypatch.setattr(mmcv_build, 'install_wheel', install_it)
    first, second = install_mmcv(machine), install_mmcv(machine)
    assert compiled == [('onedl-mmcv==' + machine.pins()['onedl-mmcv'], '-O2 -g0 -DNDEBUG')]
    assert first == second and installed == [Path(first)] * 2
    assert '-torch2.10.0+cpu-' in first


def test_interrupted_compilation_goes_on_from_its_source(
    machine: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tmp_path / 'cache' / 'key'
    source = tmp_path / 'cache' / 'key.build' / 'source'
    source.mkdir(parents=True)
    (source / 'half.o').touch()
    # In place of pip: what it is told to build, and the wheel that it leaves.
    script = tmp_path / 'venv' / 'bin' / 'python'
    script.write_text(
        '#!/bin/sh\nset -e\nwhile [ "$1" != -w ]; do shift; done\n'
        'test -e "$3/half.o"\nmkdir "$2"\ntouch "$2/mmcv.whl"\n'
    )
    script.chmod(0o755)
    compile_mmcv(machine, 'mmcv==9', entry, {'MAX_JOBS': '1', 'FORCE_CUDA': '0'})
    assert [path.name for path in entry.iterdir()] == ['mmcv.whl']
    assert not source.exists()
