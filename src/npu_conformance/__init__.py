"""Precision conformance of vLLM engines on Ascend NPUs, token by token, against a float32 reference."""

__version__ = "0.1.0"
