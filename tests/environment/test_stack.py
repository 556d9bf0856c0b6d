import pytest
from environment.stack import LOCK, MAIN, REQUIREMENTS, STOCK, STOCK_LOCK, Stack, read_pins


@pytest.mark.parametrize('stack', [MAIN, STOCK], ids=lambda stack: stack.folder.name)
def test_locks_pin_every_direct_dependency(stack: Stack) -> None:
    pins = stack.pins()
    texts = [line.split('#')[0] for line in REQUIREMENTS.read_text().splitlines()]
    lines = [text.split(';')[0].strip() for text in texts]
    direct = [line for line in lines if line]
    assert len(direct) > 20
    assert not [name for name in [*direct, *stack.no_deps, stack.mmcv] if name not in pins]
    # With its dependencies, either would bring the OpenCV that needs libGL.
    assert not {'opencv-python', stack.mmcv, *stack.no_deps} & set(direct)


def test_read_pins_drops_markers_and_comments() -> None:
    text = '# torch==1.0\ntorch==2.10.0\ntriton==3.6.0 ; sys_platform == "linux"\nnumpy>=2\n'
    assert read_pins(text) == {'torch': '2.10.0', 'triton': '3.6.0'}


def test_stacks_share_every_version_but_those_of_openmmlab() -> None:
    assert not set(read_pins(LOCK.read_text())) & set(read_pins(STOCK_LOCK.read_text()))
    assert set(read_pins(STOCK_LOCK.read_text())) == set(STOCK.distributions.values())
    assert not set(MAIN.distributions.values()) & set(STOCK.distributions.values())
    assert MAIN.folder != STOCK.folder
