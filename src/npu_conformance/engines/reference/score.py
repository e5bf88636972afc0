"""The reference: HF transformers in float32 on the CPU, scoring the candidate's tokens in one pass.

At every position it sees the prefix the candidate saw, so logits compare position by position; up to the
first position where its choice differs, the candidate's text is what it would have generated itself.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from npu_conformance.checkpoints.declared import ENDS
from npu_conformance.engines.reference.scoring import Scorer, Sequence_
from npu_conformance.engines.rendering import load_rendered, load_tokenizer
from npu_conformance.machine.imports import importing
from npu_conformance.machine.provenance import machine, package_versions
from npu_conformance.machine.storage import link_or_copy, staged_dir
from npu_conformance.measure.metrics import choice
from npu_conformance.traces.layers import save_layers
from npu_conformance.traces.router import save_router
from npu_conformance.traces.rows import storage_of, unpack
from npu_conformance.traces.trace import (
    WITHOUT_ADAPTER,
    Answer,
    ModuleValue,
    Trace,
    load_trace,
    save_modules,
    save_trace,
)

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import ReferenceJob
    from npu_conformance.workers.worker import Progress

# Words near the top whose text is kept for messages.
_SHOWN = 5


def get_ready() -> None:
    """Import what every reference needs, which takes seconds: a job finds it in `load_tokenizer` and `load_model`."""
    with importing():
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401


def run(job: "ReferenceJob", progress: "Progress") -> None:
    """Score the candidate's tokens, and what else its trace holds, and leave a trace of the same make."""
    started = time.monotonic()
    candidate = load_trace(job.candidate)
    prompts = tuple(answer.prompt_ids for answer in candidate.answers)
    rendered = None if job.rendered is None else load_rendered(job.rendered)
    if rendered is not None:
        prompts = rendered.prompt_ids
    tokenizer = load_tokenizer(job.checkpoint, job.trust_remote_code)
    scorer = Scorer(job, progress)
    with staged_dir(job.output) as stage:
        # First, for the main pass adds the adapter to the model for good.
        if (bare := candidate.part(WITHOUT_ADAPTER)) is not None:
            (stage / WITHOUT_ADAPTER).mkdir()
            entries = scorer.rows(_sequences(prompts, bare), adapted=False)
            _save(stage / WITHOUT_ADAPTER, bare, prompts, entries, tokenizer, {})
        entries = scorer.rows(_sequences(prompts, candidate), adapted=True)
        if (margins := scorer.margins(entries)) is not None:
            save_router(stage, margins)
        if not job.logits_only:
            layers = candidate.layers()
            if layers is not None and (states := scorer.layers(prompts[: len(layers.states)])) is not None:
                save_layers(stage, states)
            ends = (
                [] if rendered is None else [ModuleValue(ENDS, list(rendered.eos_token_ids), "the run's stop tokens")]
            )
            save_modules(stage, [*scorer.modules(), *ends])
        provenance = {
            "engine": "transformers",
            "platform": "cpu",
            "device": machine()["processor"],
            "versions": package_versions(),
            "setting": scorer.setting,
            "computed": scorer.computed,
            "from_cache": len(prompts) * (1 if bare is None else 2) - scorer.computed,
            "seconds": {"total": round(time.monotonic() - started, 2)},
        }
        _save(stage, candidate, prompts, entries, tokenizer, provenance)


def _sequences(prompts: tuple[tuple[int, ...], ...], candidate: Trace) -> list[Sequence_]:
    return [(ids, answer.token_ids) for ids, answer in zip(prompts, candidate.answers, strict=True)]


def _save(
    folder: Path,
    candidate: Trace,
    prompts: tuple[tuple[int, ...], ...],
    entries: list[Path],
    tokenizer: Any,
    provenance: dict[str, Any],
) -> None:
    """A trace over the cached rows: what the reference would have said at each of the candidate's positions."""
    shown: set[int] = set()
    answers = []
    for index, (entry, answer) in enumerate(zip(entries, candidate.answers, strict=True)):
        stored = np.load(entry, allow_pickle=False)
        storage = storage_of(stored)
        rows = unpack(stored, storage)
        link_or_copy(entry, folder / f"{index:04d}.npy")
        choices = choice(rows).tolist()
        shown.update(answer.token_ids, choices, np.argpartition(rows, -_SHOWN, axis=1)[:, -_SHOWN:].ravel().tolist())
        words = [max(token, 0) for token in choices[: candidate.judged(index)]]
        answers.append(
            Answer(
                prompt=answer.prompt,
                prompt_ids=prompts[index],
                token_ids=answer.token_ids,
                text=tokenizer.decode(words, skip_special_tokens=True),
                storage=storage,
            )
        )
    save_trace(
        folder,
        answers,
        eos_token_ids=candidate.eos_token_ids,
        provenance=provenance,
        pieces={token: tokenizer.decode([token]) for token in sorted(shown) if token >= 0},
    )
