"""An OpenAI-compatible server as candidate: whatever it runs, asked over HTTP; `watch` asks through the same client."""

from npu_conformance.config.engines import Engine

ENGINE = Engine(
    rows="topk",
    serve_options=False,
    forced_decode=False,
    kv_cache=False,
    floor_arithmetic=False,
    timed=False,
    remote=True,
)
