"""tools/doctor.py: what works, and the line that fixes what does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_doctor_names_a_broken_package_and_the_fix(tmp_path):
    (tmp_path / 'mmcv.py').write_text('raise ImportError("undefined symbol: _ZN3c10")')
    status, output = run_doctor(tmp_path)
    assert status == 1
    fix = r'make setup|install it anew \(docs/INSTALL\.md, .*\)'  # in .venv, or another
    said = rf'FAIL  mmcv: ImportError: undefined symbol: _ZN3c10\n      fix: ({fix})\n'
    assert re.search(f'{said}$', output)


def test_doctor_finds_wrong_results_of_operations(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        'import mmcv.ops\nmmcv.ops.roi_align = lambda features, *args: features * 2\n'
    )
    status, output = run_doctor(tmp_path)
    assert status == 1
    fix = r'make mmcv|compile mmcv anew \(docs/INSTALL\.md, .*\)'
    assert re.search(rf'      fix: ({fix})\n$', output)
