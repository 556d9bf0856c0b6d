"""Quarter turns, the transform of the paper's Table 5."""

rotation = dict(type='RandomRotate', angles=[0, 90, 180, 270])
