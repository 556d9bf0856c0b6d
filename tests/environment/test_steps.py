import re
import sys
from pathlib import Path

import pytest
from environment.errors import SetupError
from environment.steps import run


def test_failed_command_shows_the_first_error_and_the_fix(tmp_path: Path) -> None:
    script = (
        'print("a.cpp: fatal error: no x.h"); [print(i) for i in range(99)]; raise SystemExit(3)'
    )
    with pytest.raises(SetupError, match='exit status 3') as error:
        run('a step', [sys.executable, '-c', script], tmp_path / 'log')
    assert 'no x.h' in str(error.value)
    assert '\n    98' in str(error.value)
    assert '\n50\n' in (tmp_path / 'log').read_text()


def test_a_full_disk_is_named_with_what_is_free_and_needed(tmp_path: Path) -> None:
    script = 'print("ERROR: [Errno 28] No space left on device"); raise SystemExit(1)'
    with pytest.raises(SetupError) as error:
        run('a step', [sys.executable, '-c', script], tmp_path / 'log')
    assert re.search(rf'make room on the disk \(\d+\.\d GB in {tmp_path},', error.value.fix)
    assert '8 GB' in error.value.fix
