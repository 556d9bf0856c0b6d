"""What the doctor makes of what it finds, without looking at this machine."""

import doctor
import pytest
from doctor import Facts, Finding
from environment.stack import STOCK


def test_it_says_what_it_tries_beside_what_it_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, 'probe', lambda python, code: {'code': code})
    assert list(doctor.try_all(STOCK)) == list(doctor.PROBES)
    out, err = capsys.readouterr()
    assert out == ''
    assert len(err.splitlines()) == len(doctor.PROBES)
    assert err.startswith('[doctor] trying torch, 1 of 7 ...\n')


def healthy() -> Facts:
    entry = '/c/mmcv2.3.6-torch2.10.0+cu128-cp311-x86_64-cpu-5c0056'
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


def test_doctor_tells_what_mmcv_was_compiled_for() -> None:
    facts = healthy()
    for cuda, said in (('not available', 'the CPU'), ('12.4', 'CUDA 12.4')):
        facts.probes['mmcv']['cuda'] = cuda
        findings = {finding.text for finding in doctor.diagnose(facts)}
        assert f"mmcv's ops are built for {said}" in findings


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
    facts.gpu, facts.toolkits = True, {'/usr/local/cuda': '13.0'}
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


def test_doctor_of_the_other_environment_names_its_command_and_versions() -> None:
    facts = healthy()
    facts.stack = STOCK
    facts.pins = {'torch': '2.10.0', 'mmcv': '2.1.0', 'mmdet': '3.5.1'}
    (fault,) = faults(facts)
    assert fault == ('FAIL', 'mmcv 2.3.6 is installed, 2.1.0 is pinned', 'make setup-stock FORCE=1')
