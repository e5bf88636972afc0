"""The data of a hand-in: both sides' likeliest words, and what was measured, position by position.

A file of JSON, compressed: with it base is judged again on any machine, without an engine and without the weights.
"""

import gzip
import zlib
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from npu_conformance.baselines.packed import Packed, Part
from npu_conformance.baselines.positions import OfPositions, StoredPrompt, StoredReference, StoredRun
from npu_conformance.config.prompts import Prompt
from npu_conformance.errors import TraceError
from npu_conformance.machine.own_digest import OwnDigest
from npu_conformance.measure.columns import METRICS
from npu_conformance.measure.kernel import RUNNERS_UP
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.traces.reading import first_problem

LARGEST = 300_000
"""Bytes that the file should stay below; very many positions make a larger one."""
NEAR_ONE = ("cosine", "pearson")
"""Metrics that are kept as what they lack of 1, which float32 resolves."""
# What a file may unpack to: a damaged one is not to fill the memory.
_MOST = 1 << 26


class StoredDeviations(Part):
    """What a run deviates (see `measure.deviations`), but for what its words tell."""

    row: Packed
    logit: Packed
    gain: Packed
    difference: Packed


class HandedData(OfPositions, OwnDigest, Part):
    """Base of one model: candidate, reference and noise floor at every judged position."""

    schema_version: Literal[1] = 1
    model: str
    subject: Literal["real", "twin"]
    """A twin's says nothing about the model."""
    metrics_version: int = METRICS_VERSION
    vocabulary: int
    """Words of a row of logits."""
    routed: bool
    """Whether the model is a mixture of experts."""
    quantised: bool
    """Whether the floor is that of a quantised candidate's own arithmetic."""
    false_alarms: float
    """Base's share of the run's rate of false alarms."""
    reference_digest: str
    """Of the weights that the reference loaded."""
    eos_token_ids: tuple[int, ...]
    pieces: dict[int, str]
    """Text of the tokens that occur."""
    asked: tuple[Prompt, ...]
    """The prompts as they were asked, with what their answers must contain."""
    prompts: tuple[StoredPrompt, ...]
    reference: StoredReference
    run: StoredRun
    """The candidate."""
    values: dict[str, Packed]
    """Metrics by name [positions]; of `NEAR_ONE` what they lack of 1."""
    token_logits: Packed
    """[positions, 4], as in `Comparison`."""
    own_shortfall: Packed
    deviations: StoredDeviations
    prefill_row: Packed | None
    """`row` of the prefill path; null where it was not captured."""
    floor: dict[str, StoredDeviations]
    """Floor runs by name."""
    digest: str = ""
    """Of everything else in the file."""

    def packed(self) -> bytes:
        """What its file holds, the same on every machine."""
        return gzip.compress((self.model_dump_json() + "\n").encode(), 9, mtime=0)

    @cached_property
    def tokens(self) -> NDArray[np.int64]:
        """The candidate's, judged ones [positions]."""
        return np.concatenate([prompt.token_ids.array().astype(np.int64) for prompt in self.prompts])

    @cached_property
    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Values by name [positions]."""
        found = {name: one.array().astype(np.float64) for name, one in self.values.items()}
        return {name: 1 - one if name in NEAR_ONE else one for name, one in found.items()}

    def spans(self) -> list[slice]:
        """The positions of each prompt."""
        return [slice(start, end) for start, end in pairwise(self.bounds)]

    def problem(self) -> str | None:
        """Why its arrays do not fit together; None where they do."""
        flat = [one for prompt in self.prompts for one in (prompt.prompt_ids, prompt.token_ids)]
        if not flat or any(len(one.shape) != 1 for one in flat) or len(self.reference.words.shape) != 2:
            return "prompts without token ids, or words that are no table"
        ids = [one.id for one in self.prompts]
        if ids != [one.id for one in self.asked] or len(set(ids)) < len(ids) or len(ids) != len(self.reference.texts):
            return f"{len(ids)} answers that are not to the {len(self.asked)} prompts asked, one each"
        n, words = self.bounds[-1], self.reference.words.shape[1]
        shapes: dict[str, tuple[Packed, tuple[int, ...]]] = {
            "words": (self.reference.words, (n, words)),
            "log_probs": (self.reference.log_probs, (n, words)),
            "errors": (self.run.errors, (n, words)),
            "token_logits": (self.token_logits, (n, 4)),
            **{f"{name}.difference": (one.difference, (n, RUNNERS_UP)) for name, one in self._runs().items()},
            **{name: (one, (n,)) for name, one in self._flat().items()},
        }
        wrong = [f"{name} {one.array().shape}" for name, (one, shape) in shapes.items() if one.array().shape != shape]
        if strange := [name for name, (one, _) in shapes.items() if not np.isfinite(one.array()).all()]:
            return f"{strange[0]}: holds what is no number"
        if wrong or words < 2 or not n:
            return f"{n} positions of {words} words, but {', '.join(wrong) or 'nothing to judge'}"
        known = [self.reference.words.array(), self.tokens, *(one.array() for one in flat)]
        if not self.values.keys() >= set(METRICS) or any(((a < 0) | (a >= self.vocabulary)).any() for a in known):
            return f"a metric is missing, or a token is none of {self.vocabulary}"
        return None

    def _runs(self) -> dict[str, StoredDeviations]:
        return {"deviations": self.deviations, **self.floor}

    def _flat(self) -> Mapping[str, Packed]:
        kinds = ("row", "logit", "gain")
        named = {f"{name}.{what}": getattr(one, what) for name, one in self._runs().items() for what in kinds}
        reference, run = self.reference, self.run
        more: dict[str, Any] = {"tail": reference.tail, "size": reference.size, "run.tail": run.tail}
        more |= {"choices": run.choices, "own_shortfall": self.own_shortfall}
        more |= {} if self.prefill_row is None else {"prefill_row": self.prefill_row}
        return {**self.values, **named, **more}


def read_data(path: Path) -> HandedData:
    """Read the data of a hand-in, also where it was altered: who reads compares the digest.

    Raises:
        TraceError: it is not there, is none, or its arrays do not fit together.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(_MOST)
        found = HandedData.model_validate_json(content)
        problem = found.problem()
    except ValidationError as error:
        raise TraceError(f"{path}: {first_problem(error)}") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    if problem is not None:
        raise TraceError(f"{path}: {problem}")
    return found
