"""Around a run: checks before it starts, and mmdet's own tools."""
