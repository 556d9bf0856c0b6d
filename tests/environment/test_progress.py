from environment.progress import PipStatus, ninja_status


def test_pip_output_becomes_a_status() -> None:
    status = PipStatus()
    line = '  Downloading torch-2.10.0-cp311-cp311-manylinux_2_28_x86_64.whl (915.7 MB)'
    assert status(line, 1.0) == 'torch-2.10.0 (915.7 MB)'
    assert status('Progress 50 of 200', 1.0) == 'downloading torch-2.10.0 (915.7 MB) 25 %'
    assert status('Installing collected packages: a, b, c', 1.0) == 'unpacking 3 packages'
    assert status('WARNING: whatever', 1.0) is None


def test_ninja_output_becomes_a_count_and_the_time_left() -> None:
    assert ninja_status('  [20/80] c++ -c x.cpp', 60.0) == '20/80 files, about 3:00 left'
    assert ninja_status('x.cpp:1:2: warning: [1/2]', 60.0) is None
