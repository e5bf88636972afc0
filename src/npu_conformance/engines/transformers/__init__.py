"""Transformers itself as candidate."""

from npu_conformance.config.engines import Engine

ENGINE = Engine(
    rows="full", serve_options=False, forced_decode=False, kv_cache=False, floor_arithmetic=True, timed=False
)
