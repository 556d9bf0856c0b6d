import dataclasses
import os
import time
from functools import partial
from pathlib import Path

from environment.packages import installed
from environment.progress import PipStatus, ninja_status
from environment.stack import MAIN


def test_pip_output_becomes_a_status() -> None:
    status = PipStatus()
    line = '  Downloading torch-2.10.0-cp311-cp311-manylinux_2_28_x86_64.whl (915.7 MB)'
    assert status(line, 1.0) == 'torch-2.10.0 (915.7 MB)'
    assert status('Progress 50 of 200', 1.0) == 'downloading torch-2.10.0 (915.7 MB) 25 %'
    assert status('WARNING: whatever', 1.0) is None


def test_it_is_told_which_package_is_unpacked(tmp_path: Path) -> None:
    stack = dataclasses.replace(MAIN, folder=tmp_path)
    since = time.time() - 1
    status = PipStatus(partial(installed, stack, since))
    assert status('', 1.0) is None
    told = 'Installing collected packages: a, b, c'
    assert status(told, 1.0) == 'unpacking a, 1 of 3 packages'
    for number, name in enumerate('zab'):  # one of them was there before
        info = tmp_path / f'lib/python3.11/site-packages/{name}-1.dist-info'
        info.mkdir(parents=True)
        (info / 'INSTALLER').write_text('pip')
        os.utime(info / 'INSTALLER', (since + number - 0.5,) * 2)
    assert status('', 1.0) == 'unpacking c, 3 of 3 packages'


def test_ninja_output_becomes_a_count_and_the_time_left() -> None:
    assert ninja_status('  [20/80] c++ -c x.cpp', 60.0) == '20/80 files, about 3:00 left'
    assert ninja_status('x.cpp:1:2: warning: [1/2]', 60.0) is None
