import sys
from pathlib import Path

from environment.probe import PROBES, probe


def test_probe_reports_what_a_broken_import_says() -> None:
    python = Path(sys.executable)
    assert probe(python, 'import no_such_thing') == {
        'error': "ModuleNotFoundError: No module named 'no_such_thing'"
    }
    assert probe(python, 'print("{\\"version\\": \\"1\\"}")') == {'version': '1'}
    assert 'error' in probe(python, 'import os; os.abort()')


def test_torch_tells_what_a_build_needs_to_know() -> None:
    found = probe(Path(sys.executable), PROBES['torch'])
    assert set(found) == {'version', 'cuda', 'gpus', 'archs'}
    assert found['version'].startswith('2.')
    assert len(found['archs']) <= len(found['gpus'])
