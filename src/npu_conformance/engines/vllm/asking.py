"""What is asked of a running vLLM engine, by mode: to choose its tokens, or to take those of another trace."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from npu_conformance.engines.rendering import as_messages
from npu_conformance.engines.tokenizer_file import tokenizer_file
from npu_conformance.engines.vllm.boundary import boundary, long_texts
from npu_conformance.engines.vllm.engine_run import EngineRun
from npu_conformance.engines.vllm.generation import Generated, Request, Watch, forced_request
from npu_conformance.engines.vllm.hidden_states import as_layers, layers_at
from npu_conformance.engines.vllm.module_states import save_modules_of
from npu_conformance.engines.vllm.prefill import prefill_answers
from npu_conformance.engines.vllm.scenarios import batch_cases
from npu_conformance.errors import TraceError
from npu_conformance.traces.layers import save_layers
from npu_conformance.traces.trace import (
    BOUNDARY,
    COLD,
    PREFILL,
    WITHOUT_ADAPTER,
    Answer,
    load_trace,
    save_cases,
    save_trace,
)
from npu_conformance.workers.job import ForcedPart, Watched

if TYPE_CHECKING:
    from npu_conformance.workers.job import CandidateJob


def generate(asked: EngineRun) -> list[Answer]:
    """The engine chooses its tokens, or takes those it is given; then all that can be asked about them."""
    job, generator, requests = asked.job, asked.generator, asked.requests()
    with asked.timed():
        first = generator.rows("generating", requests)
    answers = asked.save(asked.names(), first, forced=job.tokens_of is not None)
    # Cold again, or the second run would prefill other lengths than the first.
    generator.llm.reset_prefix_cache()
    again = generator.digests("generating again", requests)
    own = _own_tokenisation(asked)
    answers = [
        dataclasses.replace(answer, own_prompt_ids=ids, repeat_token_ids=tokens, repeat_digests=digests)
        for answer, ids, (tokens, digests) in zip(answers, own, again, strict=True)
    ]
    save_cases(asked.stage, batch_cases(generator, answers, first))
    _force_boundary(asked)
    prefill_part(asked, answers)
    if job.adapter is not None:
        first_tokens = [Request(request.prompt_ids, 1) for request in requests]
        bare = generator.rows("generating without the adapter", first_tokens, adapted=False)
        asked.save_part(WITHOUT_ADAPTER, asked.names(), bare, forced=False)
    if job.layer_prompts and (layers := layers_at(asked)):
        save_layers(asked.stage, layers)
    save_modules_of(asked, answers)
    return answers


def force_base(asked: EngineRun) -> list[Answer]:
    """The engine takes base's tokens, in base's batches; where the cache is to be warm, a second time."""
    base = load_trace(cast("Path", asked.job.tokens_of))  # the job sees to it that there is one
    cut = base.part(BOUNDARY)
    if cut is None:
        raise TraceError(f"{base.folder}: has no block-boundary prompts; run base again")
    generator = asked.generator
    requests, cuts = (
        [forced_request(answer.prompt_ids, answer.token_ids) for answer in trace.answers] for trace in (base, cut)
    )
    names, boundary_names = ([answer.prompt for answer in trace.answers] for trace in (base, cut))
    watches = {part: _watch(asked.job, part) for part in get_args(ForcedPart)}
    if asked.job.mode == "forced warm":
        cold = generator.rows("filling the cache", requests, watch=watches["cold"])
        asked.save_part(COLD, names, cold, forced=True, ends=base.eos_token_ids)
        generator.digests("filling the cache", cuts)
    with asked.timed():
        forced = generator.rows("forcing base's tokens", requests, watch=watches["answers"])
    answers = asked.save(names, forced, forced=True)
    crossed = generator.rows("forcing block-boundary prompts", cuts, watch=watches["boundary"])
    asked.save_part(BOUNDARY, boundary_names, crossed, forced=True)
    _observe(asked, [*forced.generated, *crossed.generated])
    if asked.job.watched:
        save_layers(asked.stage, as_layers([_seen(watches[at.part], at) for at in asked.job.watched]))
    return answers


def _watch(job: "CandidateJob", part: ForcedPart) -> Watch | None:
    wanted = [(at.prompt, at.step) for at in job.watched if at.part == part]
    return Watch(wanted) if wanted else None


def _seen(watch: Watch | None, at: Watched) -> dict[str, list[float]] | None:
    return None if watch is None else watch.states.get((at.prompt, at.step))


def force_long(asked: EngineRun) -> list[Answer]:
    """The engine takes what follows in long texts."""
    _, longest = _limits(asked.generator.llm)
    texts = long_texts(asked.rendered.prompt_ids, longest)
    with asked.timed():
        forced = asked.generator.rows("forcing long texts", list(texts.values()))
    _observe(asked, forced.generated)
    return asked.save(list(texts), forced, forced=True)


def tokens_only(asked: EngineRun) -> list[Answer]:
    """The engine chooses its tokens, and its logits are not seen."""
    with asked.timed():
        generated = asked.generator.tokens("generating", asked.requests())
    file = tokenizer_file(asked.job.checkpoint)
    return [
        Answer(
            name,
            one.prompt_ids,
            one.token_ids,
            one.text,
            decoded=file.text(one.token_ids) if file else None,
            finish_reason=one.finish_reason,
        )
        for name, one in zip(asked.names(), generated, strict=True)
    ]


MODES: dict[str, Callable[[EngineRun], list[Answer]]] = {
    "generate": generate,
    "forced": force_base,
    "forced warm": force_base,
    "forced long": force_long,
    "tokens only": tokens_only,
}
"""What to do, by a candidate job's `mode`."""


def _force_boundary(asked: EngineRun) -> None:
    """Force the block-boundary prompts, cold, as a part of the trace; a part without any where none fits."""
    requests = boundary(asked.rendered.prompt_ids, *_limits(asked.generator.llm))
    asked.generator.llm.reset_prefix_cache()
    captured = asked.generator.rows("forcing block-boundary prompts", list(requests.values()))
    asked.save_part(BOUNDARY, list(requests), captured, forced=True)


def prefill_part(asked: EngineRun, answers: Sequence[Answer]) -> None:
    """Each prompt with its answer in one prefill, as a part of the trace; none where the model cannot be looked at."""
    generator, folder = asked.generator, asked.stage / PREFILL
    generator.progress("prefilling", 0, 0)
    folder.mkdir()
    prefilled = prefill_answers(generator.llm, asked.stage, answers, generator.lora)
    if prefilled is None:
        shutil.rmtree(folder)  # some rows may be there
        return
    save_trace(folder, prefilled, eos_token_ids=asked.rendered.eos_token_ids, provenance={}, forced=True)


def _observe(asked: EngineRun, forced: Sequence[Generated]) -> None:
    asked.observed["cached_tokens"] = sum(one.cached_tokens for one in forced)
    asked.observed["prefills_of_a_prompt"] = max((int(one.places["prefills"].max()) for one in forced), default=0)


def _limits(llm: Any) -> tuple[int, int]:
    """Tokens of a KV cache block and of the longest request."""
    config = llm.llm_engine.vllm_config
    return int(config.cache_config.block_size), int(config.model_config.max_model_len)


def _own_tokenisation(asked: EngineRun) -> list[tuple[int, ...]]:
    """The ids a user's request would get: the engine is sent text and messages, and says what it made of them."""
    from vllm import SamplingParams

    llm, lora, rendered = asked.generator.llm, asked.generator.lora, asked.rendered
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
            lora_request=lora,
        )
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(chat, outputs, strict=True)}
    if plain:
        texts = [rendered.prompts[index].text for index in plain]
        outputs = llm.generate(texts, one, use_tqdm=False, lora_request=lora)
        own |= {index: tuple(output.prompt_token_ids) for index, output in zip(plain, outputs, strict=True)}
    return [own[index] for index in range(len(rendered.prompts))]
