import pytest
from environment import wheels

KEY = dict(mmcv='2.3.6', torch='2.10.0+cu128', python_tag='cp311', machine='x86_64', device='cpu')


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
    key = wheels.wheel_key(**KEY)
    assert wheels.wheel_key(**{**KEY, **change}) != key
    assert '/' not in key


def test_wheel_key_follows_compiler_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    known = wheels.wheel_key(**KEY)
    monkeypatch.setattr(wheels, 'MMCV_CFLAGS', '-g0')
    assert wheels.wheel_key(**KEY) != known


def test_wheel_key_says_which_torch_it_is_for() -> None:
    key = wheels.wheel_key(**KEY)
    assert wheels.is_for_torch(key, '2.10.0+cu128')
    assert not wheels.is_for_torch(key, '2.10.0')
    assert not wheels.is_for_torch(key, '2.10.0+cpu')


def test_compiler_flags_keep_optimisation() -> None:
    """CFLAGS replaces Python's own flags, its -O included."""
    assert wheels.MMCV_CFLAGS.split() == ['-O2', '-g0', '-DNDEBUG']
