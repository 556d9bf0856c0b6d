"""How a process of several ends."""

import subprocess
import sys

SCRIPT = """
import atexit, sys
import torch.distributed as distributed
from mmgradaug.engine.processes import leave_processes
leave_processes()
print('alone it goes on')
atexit.register(print, 'what is registered runs')
distributed.init_process_group('gloo', init_method=f'file://{sys.argv[1]}', rank=0, world_size=1)
leave_processes()
print('too far')
"""


def test_a_process_of_several_ends_with_what_is_registered_for_the_end(tmp_path):
    command = [sys.executable, '-c', SCRIPT, str(tmp_path / 'store')]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stderr[-500:] if result.returncode else '') == (0, '')
    said = [line for line in result.stdout.splitlines() if not line.startswith('[Gloo]')]
    assert said[-2:] == ['alone it goes on', 'what is registered runs']
