"""The set-up's modules, which lie where they run before anything is installed."""

import sys
from pathlib import Path

# Appended, not put first: `tools/test.py` must not hide the standard library's `test`.
sys.path.append(str(Path(__file__).resolve().parents[2] / 'tools'))
