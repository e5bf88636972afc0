"""The noise floor of a model's run: what floor runs deviate from the reference at the same positions.

Nothing but what they deviate is asked of floor runs, so they are measured where they are computed, and a file holds
what was measured in place of their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import staged_file
from npu_conformance.measure.columns import COLUMNS, HASHES, SHOWN, Columns, columns_of, joined
from npu_conformance.measure.comparison import Comparison, comparison_of
from npu_conformance.measure.deviations import Deviations
from npu_conformance.measure.reference_runs import FLOOR, QUANTISED
from npu_conformance.measure.router import Margins
from npu_conformance.measure.stored import read_stored, require_positions, write_stored
from npu_conformance.measure.topk import WORDS, TopK, likeliest, topk
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import Trace, load_trace

_ROWS = 32
_LOG_PROBS, _TAIL, _ROUTER = "topk_log_probs", "topk_tail", "router"
_NAMES = (*COLUMNS, _LOG_PROBS, _TAIL)
KEPT = (*_NAMES, HASHES)
"""What `floor_columns` gives. Files of before have no hashes, and are read as they are."""


@dataclass(frozen=True)
class FloorRun:
    """The same model once more in the candidate's precision."""

    comparison: Comparison
    """With the reference, at the judged positions."""
    topk: TopK
    """Over the reference's `WORDS` likeliest words."""
    router: Margins | None
    """Margins of its routers at the judged positions; None for a dense model."""


@dataclass(frozen=True)
class NoiseFloor:
    """The floor runs of the tokens that a reference scored."""

    runs: dict[str, FloorRun]

    @property
    def floor_runs(self) -> dict[str, Deviations]:
        """What each deviates.

        Raises:
            TraceError: one has logits that are not finite.
        """
        return {name: _finite(name, run.comparison) for name, run in self.runs.items()}


def _finite(name: str, found: Comparison) -> Deviations:
    if bad := int((~found.finite).sum()):
        raise TraceError(
            f"floor run {name}: {bad} positions of the noise floor have logits that are not finite: the model "
            "overflows in this dtype; try another reference.attn_implementation"
        )
    return found.deviations


def floor_columns(rows: Rows, exact: Rows, margins: Margins | None = None) -> Columns:
    """What is kept of a floor run's rows of one prompt.

    Args:
        rows: float32 [positions, vocabulary] of the floor run.
        exact: of the reference.
        margins: of the floor run's routers, where it has some.
    """
    starts = range(0, max(len(rows), 1), _ROWS)  # some at a time: looking for words takes twice the rows' memory
    found = joined([_some_columns(rows[start : start + _ROWS], exact[start : start + _ROWS]) for start in starts])
    return found if margins is None else found | {_ROUTER: margins}


def _some_columns(rows: Rows, exact: Rows) -> Columns:
    few = topk(rows, likeliest(exact, WORDS))
    found = {name: one for name, one in columns_of(rows, exact, None).items() if name not in SHOWN}
    return found | {_LOG_PROBS: few.log_probs, _TAIL: few.tail}


def save_floor_run(
    path: Path, prompts: Sequence[str], columns: Sequence[Columns], provenance: dict[str, Any] | None = None
) -> None:
    """Write the file of a floor run.

    Args:
        path: of the file, in the folder `FLOOR` beside the reference.
        prompts: ids.
        columns: by prompt, of all its positions (see `floor_columns`).
        provenance: how it was computed.
    """
    about = {
        "prompts": list(prompts),
        "positions": [len(one["tokens"]) for one in columns],
        "provenance": provenance or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged_file(path) as file:
        write_stored(file, about, joined(columns))


def load_floor(scored: Path) -> NoiseFloor | None:
    """The noise floor that a run left; None where it left none.

    Args:
        scored: folder of the variant whose tokens were scored.

    Raises:
        TraceError: a file is damaged, or not of the reference beside it.
    """
    found = _load_runs(scored, FLOOR)
    return NoiseFloor(found) if found else None


def load_quantised(scored: Path) -> FloorRun | None:
    """What quantisation deviates by itself; None where the candidate has none, or none that is computed here.

    See `load_floor` for what is given and raised.
    """
    return next(iter(_load_runs(scored, QUANTISED).values()), None)


def _load_runs(scored: Path, folder: str) -> dict[str, FloorRun]:
    paths = sorted((scored / folder).glob("*.npz"))
    reference = load_trace(scored / "reference") if paths else None
    return {path.stem: _load_run(path, reference) for path in paths if reference is not None}


def _load_run(path: Path, reference: Trace) -> FloorRun:
    about, whole = read_stored(path)
    prompts = [answer.prompt for answer in reference.answers]
    lengths = [len(answer.token_ids) for answer in reference.answers]
    if (about.get("prompts"), about.get("positions")) != (prompts, lengths):
        raise TraceError(f"{path}: is not of the same prompts and tokens as the reference; run the model again")
    require_positions(path, whole, KEPT if HASHES in whole else _NAMES, sum(lengths))
    if len(whole["equal"]) and whole["equal"].all():
        raise TraceError(
            f"{path}: is the reference bit for bit at all {len(whole['equal'])} positions: no run in the candidate's "
            "precision is; run the model again"
        )
    starts = np.cumsum([0, *lengths]).tolist()
    spans = [slice(start, start + reference.judged(index)) for index, start in enumerate(starts[:-1])]
    columns = [[{name: values[span] for name, values in whole.items()}] for span in spans]
    judged = joined([part for parts in columns for part in parts])
    return FloorRun(
        comparison_of(prompts, columns, [0] * len(prompts)),
        TopK(judged[_LOG_PROBS], judged[_TAIL], judged["tokens"]),
        judged.get(_ROUTER),
    )
