"""Pictures of a training run: curves, predictions beside labels, and what sub-networks saw.

Everything draws from plain arrays and files with matplotlib's Agg canvas and no global state, so it
works without a display and from any thread.
"""
