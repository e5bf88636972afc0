"""What can be wrong with an engine: each kind of fault as a change of a running model, by a strength where it has one.

Linear layers' weights are packed when vLLM loads them, so these are never edited: forwards are wrapped, and only norms,
rotary tables, LoRA factors and decay rates are overwritten. Faults of linear weights are in `faults.weights`.
"""
