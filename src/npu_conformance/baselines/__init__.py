"""What a model is held against besides the reference: published reports, and the current baseline.

`published` is what others printed. `stored` is the file of a baseline, made of `narrow` distributions; `make` makes one
of a run's traces, `keeping` has the rules by which one is written and found.
"""
