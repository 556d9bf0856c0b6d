import pytest
from environment import host
from environment.errors import SetupError


@pytest.mark.parametrize('version', [(3, 9), (3, 14), (2, 7)])
def test_other_pythons_are_refused(version: tuple[int, int]) -> None:
    with pytest.raises(SetupError, match=r'3\.10 to 3\.13') as error:
        host.check_host(version)
    assert error.value.fix == 'make setup PYTHON=python3.11'


def test_debian_python_without_venv_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SetupError, match='ensurepip') as error:
        host.check_host((3, 11))
    assert error.value.fix == 'apt install python3.11-venv'


def test_missing_compiler_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CXX', 'no-such-compiler -m64')
    fault, fix = next(host.missing_compilers())
    assert 'no-such-compiler' in fault
    assert fix == 'apt install g++'


def test_jobs_are_as_asked_or_as_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MAX_JOBS', '0')
    assert host.usable_jobs() == 1
    monkeypatch.setenv('MAX_JOBS', '7')
    assert host.usable_jobs() == 7
    monkeypatch.delenv('MAX_JOBS')
    monkeypatch.setattr(host.os, 'sched_getaffinity', lambda process: {0})
    assert host.usable_jobs() == 1
