"""Two runs of the same models held against each other: whether the later version got worse."""
