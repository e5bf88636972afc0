"""What is asked of a running vLLM engine, by manner: to choose its tokens, or to walk those of another trace."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from npu_conformance.engines.generation import Captured, Generated, Generator, Request, Watch, choices, drive, walk
from npu_conformance.engines.job import WalkPart, Watched
from npu_conformance.engines.prefill import prefill_answers
from npu_conformance.engines.probes import long_texts, probes
from npu_conformance.engines.rendering import Rendered, as_messages
from npu_conformance.engines.scenarios import batch_cases
from npu_conformance.errors import TraceError
from npu_conformance.trace import (
    COLD,
    PREFILL,
    PROBES,
    WITHOUT_ADAPTER,
    Answer,
    Layers,
    load_trace,
    save_cases,
    save_layers,
    save_rows,
    save_trace,
)

if TYPE_CHECKING:
    from npu_conformance.engines.job import CandidateJob
    from npu_conformance.engines.worker import Progress


@dataclasses.dataclass
class Asked:
    """An engine, a job for it, and the staged trace its answers go to."""

    job: "CandidateJob"
    llm: Any
    lora: Any
    rendered: Rendered
    generator: Generator
    stage: Path
    progress: "Progress"
    observed: dict[str, int] = dataclasses.field(default_factory=dict)
    """Signs that features took effect (see `variants.Sign`)."""
    seconds: float = 0.0
    """What the answers took, without all that is asked about them."""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Within it the answers are made."""
        started = time.monotonic()
        yield
        self.seconds = time.monotonic() - started

    def save_part(self, name: str, answers: Sequence[Answer], *, forced: bool, ends: Sequence[int] = ()) -> None:
        """Write a part of the trace whose rows are there already; `ends` are tokens after which nothing counts."""
        save_trace(self.stage / name, answers, eos_token_ids=ends, provenance={}, forced=forced)

    def part(self, name: str) -> Path:
        """A new folder for a part."""
        (self.stage / name).mkdir()
        return self.stage / name


def generate(asked: Asked) -> list[Answer]:
    """The engine chooses its tokens; then all that can be asked about them."""
    job, rendered, generator = asked.job, asked.rendered, asked.generator
    lengths = rendered.lengths(job.max_tokens)
    requests = [Request(ids, length) for ids, length in zip(rendered.prompt_ids, lengths, strict=True)]
    names = [prompt.id for prompt in rendered.prompts]
    with asked.timed():
        first = generator.rows("generating", requests)
    answers = _save(asked, asked.stage, names, first)
    # Cold again, or the second run would prefill other lengths than the first.
    asked.llm.reset_prefix_cache()
    again = generator.digests("generating again", requests)
    own = _own_tokenisation(asked)
    answers = [
        dataclasses.replace(answer, own_prompt_ids=ids, repeat_token_ids=tokens, repeat_digests=digests)
        for answer, ids, (tokens, digests) in zip(answers, own, again, strict=True)
    ]
    save_cases(asked.stage, batch_cases(generator, answers, first))
    _probe(asked, probes(rendered.prompt_ids, *_limits(asked.llm)))
    asked.progress("prefilling", 0, 0)
    asked.part(PREFILL)
    if (prefilled := prefill_answers(asked.llm, asked.stage, answers, asked.lora)) is not None:
        asked.save_part(PREFILL, prefilled, forced=True, ends=rendered.eos_token_ids)
    else:
        shutil.rmtree(asked.stage / PREFILL)  # some rows may be there
    if job.adapter is not None:
        bare = generator.rows(
            "generating without the adapter", [Request(ids, 1) for ids in rendered.prompt_ids], adapted=False
        )
        asked.save_part(WITHOUT_ADAPTER, _save(asked, asked.part(WITHOUT_ADAPTER), names, bare), forced=False)
    if job.layer_prompts and (layers := _layers(asked)):
        save_layers(asked.stage, layers)
    return answers


def walk_base(asked: Asked) -> list[Answer]:
    """The engine takes base's tokens, in base's batches; where the cache is to be warm, a second time."""
    base = load_trace(asked.job.walks or Path())
    probed = base.part(PROBES)
    if probed is None:
        raise TraceError(f"{base.folder}: has no probes; run base again")
    requests, cuts = (
        [walk(answer.prompt_ids, answer.token_ids) for answer in trace.answers] for trace in (base, probed)
    )
    names, probe_names = ([answer.prompt for answer in trace.answers] for trace in (base, probed))
    watches = {part: _watch(asked.job, part) for part in get_args(WalkPart)}
    if asked.job.manner == "walk warm":
        cold = asked.generator.rows("filling the cache", requests, watch=watches["cold"])
        asked.save_part(COLD, _save(asked, asked.part(COLD), names, cold), forced=True, ends=base.eos_token_ids)
        asked.generator.digests("filling the cache", cuts)
    with asked.timed():
        walked = asked.generator.rows("walking base's tokens", requests, watch=watches["answers"])
    answers = _save(asked, asked.stage, names, walked)
    crossed = asked.generator.rows("walking probes", cuts, watch=watches["probes"])
    asked.save_part(PROBES, _save(asked, asked.part(PROBES), probe_names, crossed), forced=True)
    _observe(asked, [*walked.generated, *crossed.generated])
    if asked.job.watched:
        save_layers(asked.stage, _as_layers([_seen(watches[at.part], at) for at in asked.job.watched]))
    return answers


def _watch(job: "CandidateJob", part: WalkPart) -> Watch | None:
    wanted = [(at.prompt, at.step) for at in job.watched if at.part == part]
    return Watch(wanted) if wanted else None


def _seen(watch: Watch | None, at: Watched) -> dict[str, list[float]] | None:
    return None if watch is None else watch.states.get((at.prompt, at.step))


def walk_long(asked: Asked) -> list[Answer]:
    """The engine takes what follows in long texts."""
    _, longest = _limits(asked.llm)
    texts = long_texts(asked.rendered.prompt_ids, longest)
    with asked.timed():
        walked = asked.generator.rows("walking long texts", list(texts.values()))
    _observe(asked, walked.generated)
    return _save(asked, asked.stage, list(texts), walked)


def tokens_only(asked: Asked) -> list[Answer]:
    """The engine chooses its tokens, and its logits are not seen."""
    rendered = asked.rendered
    lengths = rendered.lengths(asked.job.max_tokens)
    requests = [Request(ids, length) for ids, length in zip(rendered.prompt_ids, lengths, strict=True)]
    with asked.timed():
        outputs = drive(asked.llm, "generating", requests, [None] * len(requests), asked.lora, asked.progress)
    return [
        Answer(
            prompt=prompt.id,
            prompt_ids=tuple(output.prompt_token_ids),
            token_ids=tuple(output.outputs[0].token_ids),
            text=output.outputs[0].text,
        )
        for prompt, output in zip(rendered.prompts, outputs, strict=True)
    ]


MANNERS: dict[str, Callable[[Asked], list[Answer]]] = {
    "generate": generate,
    "walk": walk_base,
    "walk warm": walk_base,
    "walk long": walk_long,
    "tokens only": tokens_only,
}
"""What to do, by a candidate job's `manner`."""


def _save(asked: Asked, folder: Path, names: Sequence[str], captured: Captured) -> list[Answer]:
    """Write captured rows into a trace folder; the answers they belong to."""
    tokenizer, answers = asked.llm.get_tokenizer(), []
    for index, name in enumerate(names):
        one = captured.generated[index]
        stored, storage = captured.stored(index)
        save_rows(folder, index, stored)
        text = one.text
        if asked.job.manner.startswith("walk"):
            # What it would have said itself, up to the first position at which it would have gone elsewhere.
            text = tokenizer.decode(choices(captured.rows(index)), skip_special_tokens=True)
        rows = tuple(int(row) for row in one.places["row"])
        answers.append(Answer(name, one.prompt_ids, one.token_ids, text, storage, batch_rows=rows))
    return answers


def _probe(asked: Asked, requests: dict[str, Request]) -> None:
    """Walk the probes, cold, and keep them as a part of the trace; a part without any where none fits."""
    asked.llm.reset_prefix_cache()
    captured = asked.generator.rows("walking probes", list(requests.values()))
    asked.save_part(PROBES, _save(asked, asked.part(PROBES), list(requests), captured), forced=True)


def _observe(asked: Asked, walked: Sequence[Generated]) -> None:
    asked.observed["cached_tokens"] = sum(one.cached_tokens for one in walked)
    asked.observed["prefills_of_a_prompt"] = max((int(one.places["prefills"].max()) for one in walked), default=0)


def _limits(llm: Any) -> tuple[int, int]:
    """Tokens of a KV cache block and of the longest request."""
    config = llm.llm_engine.vllm_config
    return int(config.cache_config.block_size), int(config.model_config.max_model_len)


def _layers(asked: Asked) -> Layers | None:
    """Hidden states at the last token of the first prompts, one request at a time."""
    from vllm import SamplingParams

    one = SamplingParams(temperature=0.0, max_tokens=1)
    found: list[dict[str, list[float]]] = []
    prompts = asked.rendered.prompt_ids[: asked.job.layer_prompts]
    asked.llm.collective_rpc("start_layer_tap", args=(max(map(len, prompts)),))
    for ids in prompts:
        asked.llm.generate([{"prompt_token_ids": list(ids)}], one, use_tqdm=False, lora_request=asked.lora)
        states = asked.llm.collective_rpc("hidden_states", args=(len(ids),))[0]
        if states is None:
            break
        found.append(states)
    asked.llm.collective_rpc("stop_layer_tap")
    if not found:
        return None
    return _as_layers(found)


def _as_layers(found: Sequence[dict[str, list[float]] | None]) -> Layers:
    """States by point as an array.

    Raises:
        TraceError: those of a position are missing.
    """
    states = [one for one in found if one is not None]
    if not states or len(states) < len(found):
        raise TraceError(
            f"hidden states of {len(found) - len(states)} of {len(found)} positions could not be read: the model has "
            "no decoder of the usual make, its layers lie on several ranks, its batch is more than the tap keeps, or "
            "it schedules asynchronously"
        )
    points = tuple(states[0])
    return Layers(points, np.array([[one[point] for point in points] for one in states], dtype=np.float32))


def _own_tokenisation(asked: Asked) -> list[tuple[int, ...]]:
    """The ids a user's request would get: the engine is sent text and messages, and says what it made of them."""
    from vllm import SamplingParams

    llm, rendered = asked.llm, asked.rendered
    one = SamplingParams(temperature=0.0, max_tokens=1)
    own: dict[int, tuple[int, ...]] = {}
    chat = [index for index, templated in enumerate(rendered.chat) if templated]
    plain = [index for index, templated in enumerate(rendered.chat) if not templated]
    if chat:
        outputs = llm.chat(
            [as_messages(rendered.prompts[index]) for index in chat],
            one,
            use_tqdm=False,
            chat_template_kwargs=asked.job.chat_template_kwargs or None,
            lora_request=asked.lora,
        )
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(chat, outputs, strict=True)}
    if plain:
        texts = [rendered.prompts[index].text for index in plain]
        outputs = llm.generate(texts, one, use_tqdm=False, lora_request=asked.lora)
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(plain, outputs, strict=True)}
    return [own[index] for index in range(len(rendered.prompts))]
