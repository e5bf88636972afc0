"""vLLM as candidate: its engine, what is asked of it, and what runs inside it."""

from npu_conformance.config.engines import Engine

ENGINE = Engine(rows="full", serve_options=True, forced_decode=True, kv_cache=True, floor_arithmetic=False, timed=True)
