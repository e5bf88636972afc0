"""What a probe asks of one running engine, a piece a function; each is judged by a point of `points`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.commands.probe.seen import (
    Adapted,
    Batched,
    Forced,
    Hidden,
    Mode,
    Prefilled,
    Ranks,
    Sampled,
    Table,
)
from npu_conformance.config.variants import implied_signs
from npu_conformance.engines.vllm.engine import effective, observed
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Captured, Request, forced_request
from npu_conformance.engines.vllm.hidden_states import layers_at
from npu_conformance.engines.vllm.prefill import prefill_answers
from npu_conformance.errors import TraceError
from npu_conformance.measure.metrics import choice, finite, relative_l2
from npu_conformance.traces.rows import Rows, unpack
from npu_conformance.traces.tokens import comparable
from npu_conformance.traces.trace import PREFILL, Answer

MEASURED = "waiting until its memory is measured"
KILLED = "generating until it is killed"
"""Phases in which it is looked at from outside."""
_FORCED = 4
_WAIT = 60.0
_PAUSE = 0.05


@dataclass
class Engine:
    """An engine that is asked, and what it answered when each request was alone."""

    asked: EngineRun
    first_rows: Path
    """Where the engine without a LoRA leaves the prompts' first rows, for the one that has one."""
    measured: Path
    """A file that is there when its memory was measured."""

    @cached_property
    def requests(self) -> list[Request]:
        """The prompts."""
        return self.asked.requests()

    @cached_property
    def alone(self) -> list[Captured]:
        """Each request by itself."""
        found = []
        for request in self.requests:
            self.asked.generator.llm.reset_prefix_cache()
            found.append(self.asked.generator.rows("asking one request at a time", [request]))
        return found

    @cached_property
    def rows(self) -> list[Rows]:
        """Their logits, float32 [steps, vocabulary] each."""
        return [one.rows(0) for one in self.alone]

    def tokens(self, index: int) -> tuple[int, ...]:
        """What a request took alone."""
        return self.alone[index].generated[0].token_ids


def alone(engine: Engine) -> Sampled:
    """Requests one at a time; their first rows are left for the engine with a LoRA."""
    tokens = tuple(map(engine.tokens, range(len(engine.requests))))
    if engine.asked.job.adapter is None:
        np.save(engine.first_rows, np.stack([rows[0] for rows in engine.rows]), allow_pickle=False)
    return Sampled(tokens=tokens, best=tuple(map(_best, engine.rows)))


def batch(engine: Engine) -> Batched:
    """The same requests in one batch."""
    engine.asked.generator.llm.reset_prefix_cache()
    captured = engine.asked.generator.rows("asking in a batch", engine.requests)
    rows = [captured.rows(index) for index in range(len(engine.requests))]
    tokens = tuple(one.token_ids for one in captured.generated)
    return Batched(
        tokens=tokens,
        best=tuple(map(_best, rows)),
        distances=tuple(
            _distances(here[: (n := comparable(tokens[index], engine.tokens(index)))], engine.rows[index][:n])
            for index, here in enumerate(rows)
        ),
        nearest=tuple(int(np.argmin([_distances(here[:1], other[:1])[0] for other in engine.rows])) for here in rows),
    )


def forced(engine: Engine) -> Forced:
    """The first request, made to take the tokens it would choose last."""
    free = engine.rows[0][0]
    tokens = tuple(int(token) for token in np.argsort(free)[:_FORCED])
    captured = engine.asked.generator.rows("forcing tokens", [forced_request(engine.requests[0].prompt_ids, tokens)])
    rows = captured.rows(0)
    return Forced(
        asked=tokens,
        taken=captured.generated[0].token_ids,
        finite=bool(finite(rows).all()),
        distance=_distances(rows[:1], free[None])[0],
    )


def prefill(engine: Engine) -> Prefilled:
    """Each prompt with the answer it had alone, in one prefill."""
    (engine.asked.stage / PREFILL).mkdir()
    answers = [
        Answer(name, request.prompt_ids, engine.tokens(index), "")
        for index, (name, request) in enumerate(zip(engine.asked.names(), engine.requests, strict=True))
    ]
    found = prefill_answers(engine.asked.generator.llm, engine.asked.stage, answers, engine.asked.generator.lora)
    if found is None:
        return Prefilled(distances=None)
    stored = [np.load(engine.asked.stage / PREFILL / f"{index:04d}.npy") for index in range(len(found))]
    rows = [unpack(one, answer.storage) for one, answer in zip(stored, found, strict=True)]
    return Prefilled(distances=tuple(map(_distances, rows, engine.rows)))


def hidden(engine: Engine) -> Hidden:
    """States at the last token of the first prompts."""
    config = engine.asked.generator.llm.llm_engine.vllm_config.model_config.hf_text_config
    layers, found = int(config.num_hidden_layers), layers_at(engine.asked)
    if found is None:
        return Hidden(layers=layers, points=(), norms=(), changes=())
    norms = np.linalg.norm(found.states, axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = np.linalg.norm(np.diff(found.states, axis=1), axis=2) / norms[:, :-1]
    return Hidden(layers=layers, points=found.points, norms=_table(norms), changes=_table(changes))


def mode(engine: Engine) -> Mode:
    """What the engine runs with."""
    llm, options = engine.asked.generator.llm, engine.asked.job.options
    return Mode(
        options=options,
        signs=implied_signs(options),
        provenance={"effective": effective(llm, {})["effective"], "observed": observed(llm)},
        ranks=tuple(llm.collective_rpc("cudagraph_mode")),
    )


def ranks(engine: Engine) -> Ranks:
    """What every rank was given of the requests in a batch."""
    found = engine.asked.generator.by_rank("asking every rank", engine.requests)
    writers = [next((rank for rank, given in one.items() if given["wrote"].any()), None) for one in found]
    there, written, differing = {}, {}, {}
    for rank in sorted({rank for one in found for rank in one}):
        given = [one[rank] for one in found if rank in one]
        there[rank] = sum(int((steps["digest"] != b"").sum()) for steps in given)
        written[rank] = sum(int(steps["wrote"].sum()) for steps in given)
        differing[rank] = sum(
            int((one[rank]["digest"] != one[writer]["digest"]).sum())
            for one, writer in zip(found, writers, strict=True)
            if writer is not None and rank in one
        )
    return Ranks(
        expected=int(engine.asked.job.options.get("tensor_parallel_size", 1)),
        rows=sum(len(next(iter(one.values()), ())) for one in found),
        there=there,
        written=written,
        differing=differing,
    )


def lora(engine: Engine) -> Adapted:
    """Every prompt's first row with the LoRA and without it."""
    requests = [Request(request.prompt_ids, 1) for request in engine.requests]
    generator, count = engine.asked.generator, len(engine.requests)
    captured = (
        generator.rows("asking with the LoRA", requests),
        generator.rows("asking without the LoRA", requests, adapted=False),
    )
    adapted, bare = (np.concatenate([one.rows(index) for index in range(count)]) for one in captured)
    if not engine.first_rows.is_file():
        raise TraceError("the engine without a LoRA left no rows to compare with")
    plain = np.load(engine.first_rows, allow_pickle=False)
    return Adapted(
        layers=observed(generator.llm)["lora_layers"],
        effect=_distances(adapted, bare),
        bare=_distances(bare, plain),
    )


def wait_to_be_measured(engine: Engine) -> None:
    """Stay as it is until somebody has measured."""
    engine.asked.generator.progress(MEASURED, 0, 0)
    until = time.monotonic() + _WAIT
    while not engine.measured.exists() and time.monotonic() < until:
        time.sleep(_PAUSE)


def generate_until_killed(engine: Engine) -> None:
    """Be busy, for whoever kills it."""
    until = time.monotonic() + _WAIT
    while time.monotonic() < until:
        engine.asked.generator.tokens(KILLED, engine.requests)
    raise TraceError(f"nobody killed the engine within {_WAIT:g} s")


PIECES: dict[str, Callable[[Engine], Any]] = {
    "mode": mode,
    "alone": alone,
    "batch": batch,
    "forced": forced,
    "prefill": prefill,
    "hidden": hidden,
    "ranks": ranks,
    "lora": lora,
}
"""By the field of `Seen`."""


def _best(rows: Rows) -> tuple[int, ...]:
    return tuple(int(token) for token in choice(rows))


def _distances(rows: Rows, others: Rows) -> tuple[float, ...]:
    return tuple(float(one) for one in relative_l2(rows, others))


def _table(values: Any) -> Table:
    return tuple(tuple(float(one) for one in row) for row in values)
