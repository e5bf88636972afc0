"""Traces of a few positions over a few words, for tests that hold runs against each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from npu_conformance.checkpoints.declared import Declarations, Declared
from npu_conformance.checkpoints.inputs import Inputs
from npu_conformance.checks.pair import Pair
from npu_conformance.measure.floor import floor_columns, save_floor_run
from npu_conformance.measure.reference_runs import FLOOR
from npu_conformance.traces.layers import Layers, save_layers
from npu_conformance.traces.rows import Rows, row_digest
from npu_conformance.traces.trace import Answer, ModuleValue, load_trace, save_modules, save_rows, save_trace

WORDS = 12
EOS = 0
FREQUENCIES = tuple(1_000_000 ** (-pair / 16) for pair in range(16))
DECLARED = Declarations(
    facts={
        "rotary frequencies": Declared(
            values=(FREQUENCIES,), source="config.json: rope_theta 1e+06, rope type default"
        ),
        "norm epsilon": Declared(values=(1e-6,), source="config.json: rms_norm_eps 1e-06"),
        "tied embeddings": Declared(values=(False,), source="config.json: tie_word_embeddings false"),
    },
    unknown={"sliding window": "config.json does not say"},
)
"""What the made-up run's config.json says."""
INPUTS = Inputs(candidate=DECLARED, reference=DECLARED)
MODULES = [
    ModuleValue("rotary frequencies", list(FREQUENCIES), "model.rotary_emb"),
    ModuleValue("norm epsilon", 1e-6, "model.norm"),
    ModuleValue("tied embeddings", False, "lm_head"),
]
"""What its modules were made with."""


def logits(prompts: int, steps: int, seed: int = 4) -> list[Rows]:
    """Rows of each prompt, whose largest logit is far ahead and never the end of text."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(prompts, steps, WORDS)).astype(np.float32)
    rows[..., EOS] = -3
    words = rng.integers(1, WORDS, size=(prompts, steps))
    np.put_along_axis(rows, words[..., None], np.float32(9), axis=2)
    return list(rows)


def moved(rows: Rows, by: float, seed: int = 0) -> Rows:
    """The same rows, each off by a relative L2 distance in a random direction."""
    noise = np.random.default_rng(seed).normal(size=rows.shape)
    noise *= by * np.linalg.norm(rows, axis=-1, keepdims=True) / np.linalg.norm(noise, axis=-1, keepdims=True)
    return (rows + noise).astype(np.float32)


def tokens_of(rows: Sequence[Rows]) -> list[tuple[int, ...]]:
    """What is taken greedily."""
    return [tuple(one.argmax(axis=1).tolist()) for one in rows]


def write_trace(
    folder: Path,
    rows: Sequence[Rows],
    *,
    tokens: Sequence[tuple[int, ...]] | None = None,
    batch_rows: Sequence[tuple[int, ...] | None] | None = None,
    repeated: Sequence[Rows] | None = None,
    states: Layers | None = None,
    forced: bool = True,
    name: str = "set",
    observed: dict[str, int] | None = None,
) -> Path:
    """Leave a trace folder.

    Args:
        folder: where.
        rows: logits of each prompt.
        tokens: that were taken; those of the largest logits where None.
        batch_rows: of each prompt; none where None.
        repeated: logits of a second run; none where None.
        states: hidden states.
        forced: whether the tokens were given.
        name: of the prompts' set.
        observed: what the engine showed of its features.
    """
    folder.mkdir(parents=True)
    answers = []
    for index, (one, taken) in enumerate(zip(rows, tokens or tokens_of(rows), strict=True)):
        save_rows(folder, index, one)
        again = None if repeated is None else repeated[index]
        answers.append(
            Answer(
                prompt=f"{name}/{index}",
                prompt_ids=(1, 2, 3 + index),
                token_ids=taken,
                text="",
                repeat_token_ids=None if again is None else taken,
                repeat_digests=None if again is None else tuple(row_digest(row) for row in again),
                batch_rows=None if batch_rows is None else batch_rows[index],
            )
        )
    save_trace(folder, answers, eos_token_ids=[EOS], provenance={"observed": observed or {}}, forced=forced)
    save_modules(folder, MODULES)
    if states is not None:
        save_layers(folder, states)
    return folder


def write_floor(scored: Path, name: str, rows: Sequence[Rows]) -> None:
    """Leave a floor run beside the reference that is in a folder already.

    Args:
        scored: the folder.
        name: of the floor run.
        rows: logits of each prompt.
    """
    reference = load_trace(scored / "reference")
    columns = [floor_columns(one, reference.logits(index)) for index, one in enumerate(rows)]
    save_floor_run(scored / FLOOR / f"{name}.npz", [answer.prompt for answer in reference.answers], columns)


def pair_of(
    folder: Path,
    mine: Sequence[Rows],
    theirs: Sequence[Rows],
    batch_rows: Sequence[tuple[int, ...] | None] | None = None,
) -> Pair:
    """Two forced decodes over the second's tokens, held against each other."""
    tokens = tokens_of(theirs)
    traces = [
        load_trace(write_trace(folder / "again", mine, tokens=tokens, batch_rows=batch_rows)),
        load_trace(write_trace(folder / "before", theirs, tokens=tokens)),
    ]
    return Pair(traces[0], traces[1], traces[1], ("again", "before"))
