"""Config in, Runner out: command lines, checks, safe loading, and hooks that lose nothing."""

from . import checkpoint_loading as checkpoint_loading  # its loaders take mmengine's place
