"""Imports mmdet without what it says about optional packages, which nothing here needs."""

import warnings
from contextlib import redirect_stdout
from io import StringIO

with redirect_stdout(StringIO()), warnings.catch_warnings():
    warnings.filterwarnings('ignore', message='faster_coco_eval is not installed')
    import mmdet.datasets
    import mmdet.evaluation  # noqa: F401
