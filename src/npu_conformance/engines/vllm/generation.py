"""Generation with a vLLM engine, every logits row captured, step by step: who is asked for what, and when they join."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from npu_conformance.engines.vllm.scratch import (
    PLACE,
    capture_settings,
    read_digests,
    read_given,
    read_places,
    read_rows,
)
from npu_conformance.engines.vllm.versions import own_request_id
from npu_conformance.traces.rows import Rows, Storage, unpack

if TYPE_CHECKING:
    from npu_conformance.workers.worker import Progress


@dataclass(frozen=True)
class Request:
    """What is asked of the engine."""

    prompt_ids: tuple[int, ...]
    length: int
    """Longest answer in tokens."""
    forced: tuple[int, ...] | None = None
    """Tokens it must take; its own choice where None."""
    joins: int = 0
    """Engine steps after which it is sent."""


def forced_request(prompt_ids: tuple[int, ...], tokens: tuple[int, ...], joins: int = 0) -> Request:
    """A request that takes the given tokens."""
    return Request(prompt_ids, len(tokens), tokens, joins)


@dataclass(frozen=True)
class Generated:
    """What came of a request."""

    prompt_ids: tuple[int, ...]
    """As the engine reports them."""
    token_ids: tuple[int, ...]
    text: str
    cached_tokens: int
    """Prompt tokens whose KV cache was reused."""
    finish_reason: str | None
    places: NDArray[Any]
    """`scratch.PLACE` [steps]; empty where the logits were not seen."""


class Generator:
    """A running engine that is asked for logits; each call records into files of its own."""

    def __init__(self, llm: Any, scratch: Path, progress: "Progress", lora: Any = None) -> None:
        """Args: llm: vLLM's LLM with our capture; scratch: folder for files; lora: request it is served with."""
        self.llm = llm
        self.progress = progress
        self.lora = lora
        self._scratch = scratch
        self._narrow = cast("Storage", str(llm.llm_engine.vllm_config.model_config.dtype).removeprefix("torch."))

    def rows(
        self, phase: str, requests: Sequence[Request], *, adapted: bool = True, watch: "Watch | None" = None
    ) -> "Captured":
        """Generate, with every logits row kept until the scratch folder is removed."""
        files, generated = self._generate(phase, requests, digests_only=False, adapted=adapted, watch=watch)
        return Captured(files, generated, _slots(requests), self._narrow)

    def digests(self, phase: str, requests: Sequence[Request]) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
        """Generate; the tokens of each request and the digests of its rows."""
        files, generated = self._generate(phase, requests, digests_only=True)
        slots = _slots(requests)
        return [
            (one.token_ids, read_digests(files, index, len(one.token_ids), slots))
            for index, one in enumerate(generated)
        ]

    def by_rank(self, phase: str, requests: Sequence[Request]) -> list[dict[int, NDArray[Any]]]:
        """Generate; of each request what every tensor-parallel rank was given: `scratch.GIVEN` [steps] by rank."""
        files, generated = self._generate(phase, requests, digests_only=False, by_rank=True)
        slots = _slots(requests)
        return [read_given(files, index, len(one.token_ids), slots) for index, one in enumerate(generated)]

    def tokens(self, phase: str, requests: Sequence[Request]) -> list[Generated]:
        """Generate; the logits are not seen, so the engine need not have our capture."""
        outputs = drive(self.llm, phase, requests, [None] * len(requests), self.lora, self.progress)
        return [_generated(output, np.empty(0, dtype=PLACE)) for output in outputs]

    def _generate(
        self,
        phase: str,
        requests: Sequence[Request],
        *,
        digests_only: bool,
        adapted: bool = True,
        by_rank: bool = False,
        watch: "Watch | None" = None,
    ) -> tuple[Path, list[Generated]]:
        files = Path(tempfile.mkdtemp(dir=self._scratch))
        slots = _slots(requests)
        settings = [
            capture_settings(files, index, slots, digests_only=digests_only, forced=request.forced, by_rank=by_rank)
            for index, request in enumerate(requests)
        ]
        outputs = drive(self.llm, phase, requests, settings, self.lora if adapted else None, self.progress, watch)
        return files, [
            _generated(output, read_places(files, index, len(output.outputs[0].token_ids), slots))
            for index, output in enumerate(outputs)
        ]


@dataclass(frozen=True)
class Captured:
    """The logits of a list of requests."""

    files: Path
    generated: list[Generated]
    _slots: int
    _narrow: Storage

    def stored(self, index: int) -> tuple[NDArray[Any], Storage]:
        """The rows of a request as they are stored (see `read_rows`)."""
        return read_rows(self.files, index, len(self.generated[index].token_ids), self._slots, self._narrow)

    def rows(self, index: int) -> Rows:
        """The rows of a request, float32 [steps, vocabulary]."""
        return unpack(*self.stored(index))


class Watch:
    """Hidden states at chosen positions of a forced decode, read from the workers' hook after the engine's steps."""

    def __init__(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Args: wanted: indices of requests, and steps."""
        self._wanted = set(wanted)
        self.ids: dict[int, str] = {}
        """The engine's own request ids, by index."""
        self.states: dict[tuple[int, int], dict[str, list[float]]] = {}
        """By request and step: hidden states by point."""

    def look(self, llm: Any, stepped: Sequence[Any]) -> None:
        """Read what the last step left, if it took a token that is wanted."""
        taken = {(int(output.request_id), len(output.outputs[0].token_ids) - 1) for output in stepped}
        now = {self.ids[index]: (index, step) for index, step in taken & self._wanted}
        if not now:
            return
        found = llm.collective_rpc("sampled_states", args=(list(now),))[0] or {}
        self.states |= {now[own_id]: states for own_id, states in found.items() if states is not None}


def drive(
    llm: Any,
    phase: str,
    requests: Sequence[Request],
    settings: Sequence[dict[str, Any] | None],
    lora: Any,
    progress: "Progress",
    watch: "Watch | None" = None,
) -> list[Any]:
    """Send each request when it is due and step the engine until all are done; vLLM's outputs, in order."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    engine, sent, step = llm.llm_engine, 0, 0
    outputs: dict[int, Any] = {}
    order = sorted(range(len(requests)), key=lambda index: requests[index].joins)
    while len(outputs) < len(requests):
        while sent < len(order) and (requests[order[sent]].joins <= step or not engine.has_unfinished_requests()):
            index = order[sent]
            parameters = SamplingParams(
                temperature=0.0,
                max_tokens=requests[index].length,
                ignore_eos=requests[index].forced is not None,
                extra_args=settings[index],
                output_kind=RequestOutputKind.CUMULATIVE if watch else RequestOutputKind.FINAL_ONLY,
            )
            prompt = {"prompt_token_ids": list(requests[index].prompt_ids)}
            own_id = engine.add_request(str(index), prompt, parameters, lora_request=lora)
            if watch is not None:
                watch.ids[index] = own_request_id(own_id, str(index))
            sent += 1
        stepped = engine.step()
        if watch is not None:
            watch.look(llm, stepped)
        finished = [output for output in stepped if output.finished]
        outputs |= {int(output.request_id): output for output in finished}
        step += 1
        if finished:
            progress(phase, len(outputs), len(requests))
    return [outputs[index] for index in range(len(requests))]


def _generated(output: Any, places: NDArray[Any]) -> Generated:
    """What vLLM's output says of a request."""
    return Generated(
        prompt_ids=tuple(output.prompt_token_ids),
        token_ids=tuple(output.outputs[0].token_ids),
        text=output.outputs[0].text,
        cached_tokens=output.num_cached_tokens or 0,
        finish_reason=output.outputs[0].finish_reason,
        places=places,
    )


def _slots(requests: Sequence[Request]) -> int:
    return max((request.length for request in requests), default=0)
