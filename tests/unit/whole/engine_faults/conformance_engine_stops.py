"""Faults of where answers end, for `conformance_engine_faults`."""

from collections.abc import Callable
from typing import Any

_EARLY = 3


def stops_early() -> None:
    """After so few tokens, as at a stop token."""
    _patch_stops(lambda request, said: said or request.num_output_tokens >= _EARLY)


def runs_on() -> None:
    """To the length asked for, past its stop tokens."""
    _patch_stops(lambda request, said: said and request.num_output_tokens >= request.max_tokens)


def _patch_stops(change: Callable[[Any, bool], bool]) -> None:
    """Let `change` decide whether a request that chooses its own tokens has ended, from what vLLM says."""
    from vllm.v1.core.sched import scheduler
    from vllm.v1.request import RequestStatus

    original = scheduler.check_stop

    def check_stop(request: Any, *args: Any, **named: Any) -> bool:
        said = bool(original(request, *args, **named))
        ended = said if request.sampling_params.ignore_eos else change(request, said)
        if ended != said:
            request.status = RequestStatus.FINISHED_STOPPED if ended else RequestStatus.RUNNING
        return ended

    scheduler.check_stop = check_stop
