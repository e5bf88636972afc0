"""What a model is held against besides the reference: published reports, and the current baseline.

`published` is what others printed. `stored` is the file of a baseline, `packed` its arrays; `keeping` has the rules by
which one is written and found, `against` holds a run against it. `run/baseline.py` makes one of a run's traces.
"""
