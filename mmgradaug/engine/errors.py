"""Names of before, until nobody imports them."""

from ..errors import ConfigError as InputError
from .cli import one_line_errors, warn

__all__ = ['InputError', 'one_line_errors', 'warn']
