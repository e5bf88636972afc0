"""A floor run: the same model once more, measured against the reference where it is computed.

What is kept of a sequence is what was measured, a thousandth of its rows; as with the reference, once ever.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from npu_conformance.engines.reference.scoring import Scorer
from npu_conformance.errors import TraceError
from npu_conformance.machine.cache import touch
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import digest, staged_file
from npu_conformance.measure.columns import METRICS, Columns
from npu_conformance.measure.floor import KEPT, floor_columns, save_floor_run
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.measure.stored import read_stored, write_stored
from npu_conformance.measure.topk import WORDS
from npu_conformance.traces.trace import load_trace

if TYPE_CHECKING:
    from npu_conformance.workers.scorer_job import FloorJob
    from npu_conformance.workers.worker import Progress


def run(job: "FloorJob", progress: "Progress") -> None:
    """Score the tokens that the reference scored, and leave how far the logits are from its own."""
    started = time.monotonic()
    reference, scorer = load_trace(job.reference), Scorer(job, progress)
    sequences = [(answer.prompt_ids, answer.token_ids) for answer in reference.answers]
    # With their names: a new figure may be of one that older entries lack.
    measured_by = {
        "reference": reference.provenance["setting"],
        "metrics": [METRICS_VERSION, *METRICS],
        "words": WORDS,
    }
    entries = [job.cache / f"{digest([scorer.setting, measured_by, sequence])}.npz" for sequence in sequences]
    found = [_kept(entry) for entry in entries]
    missing = [index for index, columns in enumerate(found) if columns is None]
    for one in scorer.score([sequences[index] for index in missing], adapted=True):
        index = missing[one.place]
        found[index] = columns = floor_columns(one.rows, reference.logits(index), one.margins)
        with staged_file(entries[index]) as file:
            write_stored(file, {}, columns)
    provenance = {
        "engine": "transformers",
        "versions": package_versions(),
        "setting": scorer.setting,
        "computed": len(missing),
        "seconds": {"total": round(time.monotonic() - started, 2)},
    }
    prompts = [answer.prompt for answer in reference.answers]
    save_floor_run(job.output, prompts, [columns for columns in found if columns is not None], provenance)


def _kept(entry: Path) -> Columns | None:
    """What was measured of a sequence before; None where it is not there, not all of it, or not readable."""
    if not entry.is_file():
        return None
    try:
        _, columns = read_stored(entry)
    except TraceError:
        return None
    if not set(KEPT) <= columns.keys():
        return None
    touch(entry)
    return columns
