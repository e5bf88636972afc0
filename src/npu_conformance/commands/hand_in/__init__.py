"""A model's hand-in: the files that adapters publish, and the data by which anybody can check them.

`data` is what is kept of both sides, `making` makes it of a run, `again` judges it again. `files`, `upstream` and
`patch` write what is published, `manifest` names it; `deliver` and `verify` are the two commands.
"""
