"""The reference: HF transformers in float32 on the CPU, scoring the candidate's tokens in one pass.

At every position it sees the prefix the candidate saw, so logits compare position by position; up to the
first position where its choice differs, the candidate's text is what it would have generated itself.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from npu_conformance.engines.rendering import load_rendered, load_tokenizer
from npu_conformance.metrics import choice
from npu_conformance.provenance import machine, package_versions
from npu_conformance.storage import digest, staged_dir, staged_file
from npu_conformance.trace import Answer, Rows, load_trace, save_trace

if TYPE_CHECKING:
    from npu_conformance.engines.job import ReferenceJob
    from npu_conformance.engines.worker import Progress

# Part of every cache key: raised when this module computes other numbers for the same inputs.
_SCORING_VERSION = 1
# Tokens of a batch, padding included: enough to keep two to sixty-four cores busy, 40 MB a float32 layer of 4B.
_BATCH_TOKENS = 2048
# Of a batch, at most this share may be padding.
_PADDING = 0.25
# Words near the top whose text is kept for messages.
_SHOWN = 5

Sequence_ = tuple[tuple[int, ...], tuple[int, ...]]
"""Prompt ids and forced token ids."""


def run(job: "ReferenceJob", progress: "Progress") -> None:
    """Score every sequence that is not in the cache yet, and leave a trace over all of them."""
    started = time.monotonic()
    candidate = load_trace(job.candidate)
    rendered = load_rendered(job.rendered)
    sequences = [(ids, answer.token_ids) for ids, answer in zip(rendered.prompt_ids, candidate.answers, strict=True)]
    setting = {
        "weights": job.checkpoint_digest,
        "dtype": "float32",
        "attn_implementation": job.attn_implementation,
        "versions": {name: package_versions().get(name) for name in ("torch", "transformers")},
        "scoring": _SCORING_VERSION,
    }
    entries = [job.cache / f"{digest([setting, sequence])}.npy" for sequence in sequences]
    job.cache.mkdir(parents=True, exist_ok=True)
    missing = [index for index, entry in enumerate(entries) if not _is_whole(entry, len(sequences[index][1]))]
    if missing:
        progress("loading the float32 model", 0, 0)
        model = _load(job)
        done = 0
        for batch in batches([len(sequences[index][0]) + len(sequences[index][1]) for index in missing]):
            progress("scoring", done, len(missing))
            for position, rows in zip(batch, score(model, [sequences[missing[i]] for i in batch]), strict=True):
                _save(entries[missing[position]], rows)
            done += len(batch)
    tokenizer = load_tokenizer(job.checkpoint, job.trust_remote_code)
    shown: set[int] = set()
    answers = []
    with staged_dir(job.output) as stage:
        for index, (entry, (prompt_ids, tokens)) in enumerate(zip(entries, sequences, strict=True)):
            rows = np.load(entry, allow_pickle=False)
            _link(entry, stage / f"{index:04d}.npy")
            choices = choice(rows).tolist()
            judged = candidate.judged(index)
            shown.update(tokens, choices, np.argpartition(rows, -_SHOWN, axis=1)[:, -_SHOWN:].ravel().tolist())
            answers.append(
                Answer(
                    prompt=rendered.prompts[index].id,
                    prompt_ids=prompt_ids,
                    token_ids=tokens,
                    text=tokenizer.decode([max(c, 0) for c in choices[:judged]], skip_special_tokens=True),
                )
            )
        save_trace(
            stage,
            answers,
            eos_token_ids=rendered.eos_token_ids,
            provenance={
                "engine": "transformers",
                "platform": "cpu",
                "device": machine()["processor"],
                "versions": package_versions(),
                "setting": setting,
                "computed": len(missing),
                "from_cache": len(sequences) - len(missing),
                "seconds": {"total": round(time.monotonic() - started, 2)},
            },
            pieces={token: tokenizer.decode([token]) for token in sorted(shown) if token >= 0},
        )


def _load(job: "ReferenceJob") -> Any:
    import torch
    import transformers

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = transformers.AutoModelForCausalLM.from_pretrained(
        job.checkpoint,
        dtype=torch.float32,
        attn_implementation=job.attn_implementation,
        trust_remote_code=job.trust_remote_code,
        local_files_only=True,
    )
    return model.eval()


def batches(length: Sequence[int]) -> Iterator[list[int]]:
    """Indices of sequences of these lengths, longest first, in batches of similar length."""
    batch: list[int] = []
    for index in sorted(range(len(length)), key=lambda i: -length[i]):
        longest = length[batch[0]] if batch else length[index]
        too_many = longest * (len(batch) + 1) > _BATCH_TOKENS
        if batch and (too_many or length[index] < (1 - _PADDING) * longest):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def score(model: Any, sequences: Sequence[Sequence_]) -> list[Rows]:
    """Logits that predict each forced token, one forward pass for the batch.

    Args:
        model: a causal LM of transformers.
        sequences: prompt ids and forced token ids; the last token need not be fed.

    Returns:
        Per sequence float32 [tokens, vocabulary].
    """
    import torch

    fed = [prompt + tokens[:-1] for prompt, tokens in sequences]
    width = max(map(len, fed))
    ids = torch.zeros((len(fed), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(fed):
        # Padding goes to the right, where a causal model cannot see it.
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    spans = [range(len(prompt) - 1, len(prompt) - 1 + len(tokens)) for prompt, tokens in sequences]
    kept = sorted({position for span in spans for position in span})
    place = {position: index for index, position in enumerate(kept)}
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=torch.tensor(kept), use_cache=False).logits
    rows = [logits[row, [place[position] for position in span]] for row, span in enumerate(spans)]
    return [part.float().numpy() for part in rows]


def _is_whole(entry: Path, positions: int) -> bool:
    """Whether a cached entry is there and readable; one that is not is computed again."""
    try:
        return len(np.load(entry, mmap_mode="r", allow_pickle=False)) == positions
    except (OSError, ValueError, EOFError):
        return False


def _save(entry: Path, rows: Rows) -> None:
    with staged_file(entry) as file:
        np.save(file, rows, allow_pickle=False)
    # Traces link to it: who edits a trace must not edit the cache.
    entry.chmod(0o444)


def _link(entry: Path, place: Path) -> None:
    """The cached rows in the trace: the same file where the disk allows it, else a copy."""
    try:
        place.hardlink_to(entry)
    except OSError:
        shutil.copyfile(entry, place)
