"""Scores given tokens with the reference model, one forward pass for a batch, each sequence computed once ever."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npu_conformance.engines import modules
from npu_conformance.engines.quantised import QUANTISED_VERSION
from npu_conformance.engines.reference.dither import dithered
from npu_conformance.engines.reference.loaded import loaded
from npu_conformance.engines.reference.products import products_in, rounded_products
from npu_conformance.engines.reference.router import experts_a_token, routed
from npu_conformance.machine.cache import touch
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import digest, staged_file, write_json
from npu_conformance.traces.layers import Layers, load_layers, write_layers
from npu_conformance.traces.rows import Rows, pack
from npu_conformance.traces.trace import ModuleValue

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import ScorerJob
    from npu_conformance.workers.worker import Progress

SCORING_VERSION = 4
"""Part of every cache key: raised when this module computes other numbers for the same inputs, or stores them in
another form."""
# Tokens of a batch, padding included: enough to keep two to sixty-four cores busy, 40 MB a float32 layer of 4B.
_BATCH_TOKENS = 2048
# Of a batch, at most this share may be padding.
_PADDING = 0.25

Sequence_ = tuple[tuple[int, ...], tuple[int, ...]]
"""Prompt ids and forced token ids."""


class Scored(NamedTuple):
    """What came out of a forward pass for one sequence."""

    place: int
    """Of the sequence among those that were asked for."""
    rows: Rows
    """Logits that predict its forced tokens, float32 [tokens, vocabulary]."""
    margins: NDArray[np.float32] | None
    """Of a mixture's routers at the same positions [tokens, layers] (see `router`); None for other models."""


class Scorer:
    """The reference model, loaded when something is not in the cache."""

    def __init__(self, job: "ScorerJob", progress: "Progress") -> None:
        self._job = job
        self._progress = progress
        self._products = products_in(job.dtype)
        self._chosen = experts_a_token(job.checkpoint)
        self.computed = 0
        """Sequences that were not in the cache."""

    @cached_property
    def setting(self) -> dict[str, Any]:
        """All that a result depends on besides the tokens."""
        versions = package_versions()
        return {
            "weights": self._job.checkpoint_digest,
            "adapter": self._job.adapter_digest,
            "dtype": self._job.dtype,
            "attn_implementation": self._job.attn_implementation,
            "dither": self._job.dither,
            # Of float32 there is one way.
            **({} if self._job.dtype == "float32" else {"products": self._products}),
            **({"quantised": QUANTISED_VERSION} if self._job.quantised else {}),
            # Of a dense model, nothing of routers is measured.
            **({} if self._chosen is None else {"experts_a_token": self._chosen}),
            "versions": {name: versions.get(name) for name in ("torch", "transformers", "peft")},
            "scoring": SCORING_VERSION,
        }

    def rows(self, sequences: Sequence[Sequence_], *, adapted: bool) -> list[Path]:
        """Files of the logits that predict each sequence's forced tokens [tokens, vocabulary], as `trace.pack` stores.

        Args:
            sequences: prompt ids and forced token ids.
            adapted: with the job's LoRA; must not be asked for before everything without it was.
        """
        setting = self.setting if adapted else self.setting | {"adapter": None}
        entries = [self._job.cache / f"{digest([setting, sequence])}.npy" for sequence in sequences]
        missing = [i for i, entry in enumerate(entries) if not self._has(entry, len(sequences[i][1]))]
        for index, entry in enumerate(entries):
            if index not in missing:
                touch(entry)
                touch(_margins_of(entry))
        for one in self.score([sequences[index] for index in missing], adapted=adapted):
            entry = entries[missing[one.place]]
            _save(entry, pack(one.rows)[0])
            if one.margins is not None:
                _save(_margins_of(entry), one.margins)
        self.computed += len(missing)
        return entries

    def margins(self, entries: Sequence[Path]) -> NDArray[np.float32] | None:
        """Routers' margins of the sequences that `rows` gave the files of [tokens of all, layers]; None if dense."""
        if self._chosen is None:
            return None
        found: list[NDArray[np.float32]] = [np.load(_margins_of(entry), allow_pickle=False) for entry in entries]
        return np.concatenate(found)

    def _has(self, entry: Path, positions: int) -> bool:
        margins = () if self._chosen is None else (_margins_of(entry),)
        return all(_is_whole(one, positions) for one in (entry, *margins))

    def score(self, sequences: Sequence[Sequence_], *, adapted: bool) -> Iterator[Scored]:
        """What predicts each sequence's forced tokens, in the order of batches.

        Args:
            sequences: prompt ids and forced token ids.
            adapted: as in `rows`.
        """
        done = 0
        for batch in batches([len(prompt) + len(tokens) for prompt, tokens in sequences]):
            self._progress("scoring", done, len(sequences))
            model = loaded(self._job, self._progress, adapted=adapted)
            asked = [sequences[index] for index in batch]
            with (
                dithered(model, self._job.dither),
                rounded_products(self._products),
                routed(model, self._chosen) as passed,
            ):
                scored = score(model, asked)
            for place, (index, rows) in enumerate(zip(batch, scored, strict=True)):
                yield Scored(index, rows, passed[0][place][_span(*asked[place])] if passed else None)
            done += len(batch)

    def modules(self) -> list[ModuleValue]:
        """What the model's modules were made with."""
        entry = self._job.cache / f"{digest([self.setting, 'modules', modules.VERSION])}.json"
        if (cached := read_modules(entry)) is not None:
            touch(entry)
            return cached
        # An adapter changes weights only.
        told = modules.of_transformers(self.model())
        write_json(entry, told)
        return told

    def layers(self, prompts: Sequence[tuple[int, ...]]) -> Layers | None:
        """Hidden states at each prompt's last token; None for a model that cannot be hooked."""
        entry = self._job.cache / f"{digest([self.setting, 'layers', prompts])}.npz"
        if (cached := load_layers(entry)) is not None:
            touch(entry)
            return cached
        model = self.model()
        with dithered(model, self._job.dither), rounded_products(self._products):
            states = hidden_states(model, prompts)
        if states is not None:
            with staged_file(entry) as file:
                write_layers(file, states)
        return states

    def model(self) -> Any:
        """The model itself, with the job's LoRA."""
        return loaded(self._job, self._progress, adapted=True)


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
    spans = [range(width)[_span(*sequence)] for sequence in sequences]
    kept = sorted({position for span in spans for position in span})
    where = torch.tensor(kept, dtype=torch.long)  # an answer may have no tokens
    place = {position: index for index, position in enumerate(kept)}
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=where, use_cache=False).logits
    rows = [logits[row, [place[position] for position in span]] for row, span in enumerate(spans)]
    return [part.float().numpy() for part in rows]


def _span(prompt: Sequence[int], tokens: Sequence[int]) -> slice:
    """The positions that predict the tokens."""
    return slice(len(prompt) - 1, len(prompt) - 1 + len(tokens))


def hidden_states(model: Any, prompts: Sequence[tuple[int, ...]]) -> Layers | None:
    """Hidden states at the last token of each prompt; None for a model without a decoder of the usual make."""
    import torch

    from npu_conformance.engines.hook import install

    hook = install(model, max(map(len, prompts)))
    if hook is None:
        return None
    found = []
    try:
        with torch.inference_mode():
            for ids in prompts:
                model(input_ids=torch.tensor([ids], device=model.device), use_cache=False, logits_to_keep=1)
                if hook.held < len(ids):
                    return None
                found += hook.read([len(ids) - 1])
    finally:
        hook.remove()
    return Layers(hook.points, np.array([list(states.values()) for states in found], dtype=np.float32))


def _margins_of(entry: Path) -> Path:
    """The file of routers' margins beside one of rows."""
    return entry.with_suffix(".router.npy")


def _is_whole(entry: Path, positions: int) -> bool:
    """Whether a cached entry is there and readable; one that is not is computed again."""
    try:
        return len(np.load(entry, mmap_mode="r", allow_pickle=False)) == positions
    except (OSError, ValueError, EOFError):
        return False


def _save(entry: Path, rows: NDArray[Any]) -> None:
    with staged_file(entry) as file:
        np.save(file, rows, allow_pickle=False)
    # Traces link to it: who edits a trace must not edit the cache.
    entry.chmod(0o444)


def read_modules(entry: Path) -> list[ModuleValue] | None:
    """What modules were made with, from the cache; None where it has no such file, or one that is damaged."""
    try:
        return [ModuleValue(*one) for one in json.loads(entry.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return None
