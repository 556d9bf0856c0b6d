"""Pictures of a training: curves, predictions beside labels, and what sub-networks see.

They are matplotlib figures without global state, so they need no display; mmdet's own visualizer
draws the objects in them.
"""
