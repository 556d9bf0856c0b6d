"""The parts of the set-up and of the doctor that decide, without installing anything."""

import sys
from pathlib import Path

import pytest

# Appended, not put first: `tools/test.py` must not hide the standard library's `test`.
sys.path.append(str(Path(__file__).resolve().parent.parent / 'tools'))

import doctor
import setup_env
from doctor import Facts, Finding

KEY = dict(mmcv='2.3.6', torch='2.10.0+cu128', python_tag='cp311', machine='x86_64', device='cpu')
CUDA_12, CUDA_13 = {'/opt/cuda-12': '12.8'}, {'/usr/local/cuda': '13.0'}


# ------------------------------------------------------------------ the stamp


def test_fingerprint_follows_files_and_toolkits() -> None:
    inputs = {'requirements.lock': b'torch==2.10.0\n', 'setup.py': b''}
    known = setup_env.fingerprint(inputs, {})
    assert setup_env.fingerprint(dict(reversed(inputs.items())), {}) == known
    changed = {**inputs, 'requirements.lock': b'torch==2.10.1\n'}
    assert setup_env.fingerprint(changed, {}) != known
    assert setup_env.fingerprint(inputs, CUDA_12) != known
    # The same bytes cut differently between two files are another input.
    moved = {'requirements.lock': b'torch==2.10.0', 'setup.py': b'\n'}
    assert setup_env.fingerprint(moved, {}) != known


def test_fingerprint_follows_python_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    known = setup_env.fingerprint({}, {})
    with monkeypatch.context() as patch:
        patch.setattr(setup_env.platform, 'python_version', lambda: '3.12.99')
        assert setup_env.fingerprint({}, {}) != known
    monkeypatch.setattr(setup_env, 'ROOT', Path('/elsewhere'))
    assert setup_env.fingerprint({}, {}) != known


def test_stamp_counts_only_if_whole_equal_and_with_a_python(tmp_path: Path) -> None:
    stamp, python = tmp_path / 'stamp.json', Path(sys.executable)
    assert setup_env.read_stamp(stamp) == {}
    stamp.write_text('{"fingerprint": "ab')  # the machine went down while it was written
    assert setup_env.read_stamp(stamp) == {}
    stamp.write_text('{"fingerprint": "abc"}')
    read = setup_env.read_stamp(stamp)
    assert setup_env.is_current(read, 'abc', python)
    assert not setup_env.is_current(read, 'abd', python)
    assert not setup_env.is_current(read, 'abc', tmp_path / 'bin' / 'python')
    assert not setup_env.is_current({}, 'abc', python)


def test_lock_pins_every_direct_dependency() -> None:
    pins = setup_env.read_pins(setup_env.LOCK.read_text())
    text = (setup_env.ROOT / 'requirements.txt').read_text()
    lines = [line.split('#')[0].strip() for line in text.splitlines()]
    direct = [line for line in lines if line]
    assert len(direct) > 20
    assert not [name for name in [*direct, *setup_env.NO_DEPS, setup_env.MMCV] if name not in pins]
    # With its dependencies, either would bring the OpenCV that needs libGL.
    assert not {'opencv-python', setup_env.MMCV, *setup_env.NO_DEPS} & set(direct)


def test_read_pins_drops_markers_and_comments() -> None:
    text = '# torch==1.0\ntorch==2.10.0\ntriton==3.6.0 ; sys_platform == "linux"\nnumpy>=2\n'
    assert setup_env.read_pins(text) == {'torch': '2.10.0', 'triton': '3.6.0'}


# ------------------------------------------------------------------ the compiled mmcv


@pytest.mark.parametrize(
    'change',
    [
        {'mmcv': '2.3.7'},
        {'torch': '2.10.0+cpu'},
        {'torch': '2.11.0+cu128'},
        {'python_tag': 'cp312'},
        {'machine': 'aarch64'},
        {'device': 'cuda12.8-9.0'},
    ],
)
def test_wheel_key_tells_builds_apart(change: dict[str, str]) -> None:
    key = setup_env.wheel_key(**KEY)
    assert setup_env.wheel_key(**{**KEY, **change}) != key
    assert '/' not in key


def test_wheel_key_follows_compiler_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    known = setup_env.wheel_key(**KEY)
    monkeypatch.setattr(setup_env, 'MMCV_CFLAGS', '-g0')
    assert setup_env.wheel_key(**KEY) != known


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
    build = setup_env.choose_build(gpu, toolkits, torch_cuda)
    assert build.cuda_home == home
    assert bool(build.warning) == warned


def test_cpu_build_hides_gpus_and_cuda_build_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MAX_JOBS', '3')
    cpu = setup_env.build_environment(setup_env.Build(None), '9.0')
    assert (cpu['FORCE_CUDA'], cpu['CUDA_VISIBLE_DEVICES'], cpu['MAX_JOBS']) == ('0', '', '3')
    assert '-O2' in cpu['CFLAGS']
    cuda = setup_env.build_environment(setup_env.Build('/opt/cuda-12'), '9.0')
    assert (cuda['FORCE_CUDA'], cuda['CUDA_HOME']) == ('1', '/opt/cuda-12')
    assert cuda['TORCH_CUDA_ARCH_LIST'] == '9.0'
    assert 'CUDA_VISIBLE_DEVICES' not in cuda


def test_environment_overrules_the_search_for_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env.glob, 'glob', lambda pattern: ['/dev/nvidia0'])
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    assert setup_env.has_gpu()
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    assert not setup_env.has_gpu()
    monkeypatch.setenv('FORCE_CUDA', '1')
    assert setup_env.has_gpu()
    monkeypatch.setenv('FORCE_CUDA', '0')
    assert not setup_env.has_gpu()


def test_toolkits_are_read_from_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvcc = tmp_path / 'bin' / 'nvcc'
    nvcc.parent.mkdir()
    nvcc.write_text('#!/bin/sh\necho "Cuda compilation tools, release 12.8, V12.8.93"\n')
    nvcc.chmod(0o755)
    monkeypatch.setenv('CUDA_HOME', str(tmp_path))
    assert str(tmp_path) not in setup_env.find_toolkits()  # no headers
    header = tmp_path / 'targets' / 'x86_64-linux' / 'include' / 'cuda_runtime.h'
    header.parent.mkdir(parents=True)
    header.touch()
    assert next(iter(setup_env.find_toolkits().items())) == (str(tmp_path), '12.8')


@pytest.mark.parametrize('version', [(3, 9), (3, 14), (2, 7)])
def test_other_pythons_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(setup_env.SetupError, match=r'3\.10 to 3\.13') as error:
        setup_env.check_host(version)
    assert error.value.fix == 'make setup PYTHON=python3.11'


def test_debian_python_without_venv_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(setup_env.SetupError, match='ensurepip') as error:
        setup_env.check_host((3, 11))
    assert error.value.fix == 'apt install python3.11-venv'


def test_missing_compiler_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CXX', 'no-such-compiler -m64')
    fault, fix = next(setup_env.missing_compilers())
    assert 'no-such-compiler' in fault
    assert fix == 'apt install g++'


# ------------------------------------------------------------------ what is shown


def test_pip_output_becomes_a_status() -> None:
    status = setup_env.PipStatus()
    line = '  Downloading torch-2.10.0-cp311-cp311-manylinux_2_28_x86_64.whl (915.7 MB)'
    assert status(line, 1.0) == 'torch-2.10.0 (915.7 MB)'
    assert status('Progress 50 of 200', 1.0) == 'downloading torch-2.10.0 (915.7 MB) 25 %'
    assert status('Installing collected packages: a, b, c', 1.0) == 'unpacking 3 packages'
    assert status('WARNING: whatever', 1.0) is None


def test_ninja_output_becomes_a_count_and_the_time_left() -> None:
    assert setup_env.ninja_status('  [20/80] c++ -c x.cpp', 60.0) == '20/80 files, about 3:00 left'
    assert setup_env.ninja_status('x.cpp:1:2: warning: [1/2]', 60.0) is None


def test_failed_command_shows_the_first_error_and_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, 'LOG', tmp_path / 'log')
    script = (
        'print("a.cpp: fatal error: no x.h"); [print(i) for i in range(99)]; raise SystemExit(3)'
    )
    with pytest.raises(setup_env.SetupError, match='exit status 3') as error:
        setup_env.run('a step', [sys.executable, '-c', script])
    assert 'no x.h' in str(error.value)
    assert '\n    98' in str(error.value)
    assert '\n50\n' in (tmp_path / 'log').read_text()


# ------------------------------------------------------------------ the doctor


def healthy() -> Facts:
    entry = '/c/' + setup_env.wheel_key(**KEY)
    return Facts(
        python='3.11.2',
        stamp={'fingerprint': 'abc', 'mmcv': entry},
        pins={'torch': '2.10.0', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'},
        probes={
            'torch': {'version': '2.10.0+cu128', 'cuda': '12.8', 'gpus': []},
            'cv2': {'version': '4.12.0', 'works': True},
            'mmcv': {'version': '2.3.6', 'cuda': 'not available', 'faults': {'cpu': ''}},
            'mmdet': {'version': '3.5.1'},
            'mmgradaug': {'version': '0.1.0'},
        },
    )


def faults(facts: Facts) -> list[Finding]:
    return [finding for finding in doctor.diagnose(facts) if finding.level != 'ok']


def test_doctor_finds_nothing_where_nothing_is_wrong() -> None:
    assert faults(healthy()) == []


def with_error(name: str, error: str) -> Facts:
    facts = healthy()
    facts.probes[name] = {'error': error}
    return facts


def test_doctor_without_environment() -> None:
    facts = healthy()
    facts.has_venv, facts.stamp, facts.probes = False, {}, {}
    (fault,) = faults(facts)
    assert (fault.level, fault.fix) == ('FAIL', 'make setup')


def test_doctor_with_stale_or_unfinished_set_up() -> None:
    facts = healthy()
    facts.is_current = False
    assert [(fault.level, fault.fix) for fault in faults(facts)] == [('warn', 'make setup')]
    facts.stamp = {}
    assert [(fault.level, fault.fix) for fault in faults(facts)] == [('FAIL', 'make setup')]


def test_doctor_on_opencv_without_libgl() -> None:
    (fault,) = faults(with_error('cv2', 'ImportError: libGL.so.1: cannot open shared object file'))
    assert fault.level == 'FAIL'
    assert 'libGL.so.1' in fault.text
    assert fault.fix == 'make setup FORCE=1'


def test_doctor_names_the_package_that_breaks_the_others() -> None:
    facts = with_error('mmcv', 'ImportError: _ext.so: undefined symbol: _ZN3c10')
    facts.probes['mmdet'] = facts.probes['mmgradaug'] = facts.probes['mmcv']
    (fault,) = faults(facts)
    assert fault.level == 'FAIL'
    assert fault.text.startswith('mmcv does not import')
    assert fault.fix == 'make setup FORCE=1'


def test_doctor_on_mmcv_for_another_torch() -> None:
    facts = healthy()
    facts.probes['torch']['version'] = '2.10.0+cpu'
    (fault,) = faults(facts)
    assert fault.level == 'FAIL'
    assert 'another torch than 2.10.0+cpu' in fault.text


def test_doctor_on_another_version_than_pinned() -> None:
    facts = healthy()
    facts.probes['mmdet']['version'] = '3.3.0'
    (fault,) = faults(facts)
    assert fault == ('FAIL', 'mmdet 3.3.0 is installed, 3.5.1 is pinned', 'make setup FORCE=1')


def test_doctor_on_ops_that_compute_nonsense() -> None:
    facts = healthy()
    facts.probes['mmcv']['faults'] = {'cpu': 'wrong results: nms [0, 1, 2]'}
    (fault,) = faults(facts)
    assert fault.level == 'FAIL'
    assert 'nms [0, 1, 2]' in fault.text
    # The compiled mmcv would be taken from the cache again.
    assert fault.fix.startswith('rm -rf /c/mmcv2.3.6-torch2.10.0+cu128')


def test_doctor_on_a_gpu_without_toolkit() -> None:
    facts = healthy()
    facts.gpu, facts.toolkits = True, CUDA_13
    facts.probes['torch']['gpus'] = ['NVIDIA X']
    (fault,) = faults(facts)
    assert fault.level == 'warn'
    assert '13.0 in /usr/local/cuda' in fault.text


def test_doctor_on_a_gpu_that_torch_cannot_use() -> None:
    facts = healthy()
    facts.gpu = True
    facts.probes['mmcv']['cuda'] = '12.8'
    (fault,) = faults(facts)
    assert 'driver' in fault.text


def test_doctor_needs_a_compiler_only_before_it_compiled() -> None:
    facts = healthy()
    facts.missing = [('no C++ compiler', 'apt install g++')]
    assert [(fault.level, fault.fix) for fault in faults(facts)] == [('warn', 'apt install g++')]
    facts.stamp = {}
    assert {fault.level for fault in faults(facts)} == {'FAIL'}


def test_doctor_on_a_full_disk() -> None:
    facts = healthy()
    facts.free_gb = 0.5
    (fault,) = faults(facts)
    assert fault.level == 'warn'


def test_probe_reports_what_a_broken_import_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.setup_env, 'VENV_PYTHON', Path(sys.executable))
    assert doctor.probe('import no_such_thing') == {
        'error': "ModuleNotFoundError: No module named 'no_such_thing'"
    }
    assert doctor.probe('print("{\\"version\\": \\"1\\"}")') == {'version': '1'}
    assert 'error' in doctor.probe('import os; os.abort()')
