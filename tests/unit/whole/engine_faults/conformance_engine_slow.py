"""A fault of speed alone, for `conformance_engine_faults`."""

import time
from typing import Any

_SECONDS = 0.03


def slow() -> None:
    """Every step of the engine takes so much longer; nothing that it computes is other."""
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    original = GPUModelRunner.execute_model

    def execute_model(runner: Any, *args: Any, **named: Any) -> Any:
        time.sleep(_SECONDS)
        return original(runner, *args, **named)

    GPUModelRunner.execute_model = execute_model
