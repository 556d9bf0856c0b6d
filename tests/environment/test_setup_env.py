"""The command as a whole."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import setup_env
from environment.stack import MAIN, ROOT, Stack
from environment.stamp import read_stamp, stamp_file


@pytest.mark.parametrize('tool', ['setup_env.py', 'doctor.py'])
def test_runs_on_a_bare_python(tool: str) -> None:
    """`-S` leaves out everything that was installed."""
    command = [sys.executable, '-S', '-E', '-s', str(ROOT / 'tools' / tool), '--help']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert '--stock' in result.stdout


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes down the steps instead of taking them."""
    taken: list[str] = []

    def note(name: str) -> object:
        def step(stack: Stack) -> str:
            taken.append(name)
            return f'/cache/{name}'

        return step

    monkeypatch.setattr(setup_env, 'check_host', lambda: None)
    for name in ('install_packages', 'install_mmcv', 'install_project', 'verify'):
        monkeypatch.setattr(setup_env, name, note(name))

    def ensure_venv(stack: Stack, force: bool) -> None:
        taken.append('ensure_venv')
        stack.python.parent.mkdir(parents=True, exist_ok=True)
        stack.python.touch()

    monkeypatch.setattr(setup_env, 'ensure_venv', ensure_venv)
    return taken


STEPS = ['ensure_venv', 'install_packages', 'install_mmcv', 'install_project', 'verify']


def test_second_set_up_takes_no_step(steps: list[str], tmp_path: Path) -> None:
    stack = dataclasses.replace(MAIN, folder=tmp_path / 'venv')
    setup_env.set_up(stack, force=False)
    assert steps == STEPS
    assert read_stamp(stamp_file(stack))['mmcv'] == '/cache/install_mmcv'
    setup_env.set_up(stack, force=False)
    assert steps == STEPS
    setup_env.set_up(stack, force=True)
    assert steps == STEPS * 2


def test_interrupted_set_up_is_not_taken_for_finished(
    steps: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = dataclasses.replace(MAIN, folder=tmp_path / 'venv')
    setup_env.set_up(stack, force=False)

    def interrupted(stack: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup_env, 'install_packages', interrupted)
    with pytest.raises(KeyboardInterrupt):
        setup_env.set_up(stack, force=True)
    assert read_stamp(stamp_file(stack)) == {}
