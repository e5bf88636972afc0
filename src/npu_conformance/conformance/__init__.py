"""What is asserted of a model; `tests/conformance` of a checkout is this folder."""
