"""tools/doctor.py: what works, and the line that fixes what does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCTOR = Path(__file__).parents[1] / 'tools/doctor.py'


def run_doctor(*folders):
    """Return exit status and output; modules of ``folders`` come before those installed."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, [*folders, DOCTOR.parents[1]]))}
    done = subprocess.run([sys.executable, DOCTOR], env=env, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_doctor_finds_that_this_environment_works():
    status, output = run_doctor()
    assert status == 0, output
    assert "ok    mmcv's operations on cpu" in output
    assert 'FAIL' not in output


@pytest.mark.parametrize(('module', 'text', 'said', 'fix'), [
    ('mmcv', 'raise ImportError("undefined symbol: _ZN3c10")',
     r'FAIL  mmcv: ImportError: undefined symbol: _ZN3c10\n', 'make setup|install it anew'),
    ('sitecustomize', 'import mmcv.ops\nmmcv.ops.roi_align = lambda features, *args: features * 2',
     '', 'make mmcv|compile mmcv anew'),
], ids=['a broken package', 'operations with wrong results'])  # fmt: skip
def test_doctor_names_what_is_broken_and_the_fix(tmp_path, module, text, said, fix):
    """In .venv, or in another environment."""
    (tmp_path / f'{module}.py').write_text(text)
    status, output = run_doctor(tmp_path)
    assert status == 1
    assert re.search(rf'{said}      fix: ({fix} \(docs/INSTALL\.md, .*\))\n$', output)
