"""After a run: the rows of logits that nothing asks for any more, which are most of what it takes of the disk.

A variant that was judged well leaves what was measured of it. Rows stay where somebody will look at them: base's, whose
tokens others take, those of a variant whose logits failed, and those whose check reads them again.
"""

from pathlib import Path

from npu_conformance.checks import CHECKS
from npu_conformance.machine.cache import size_text
from npu_conformance.measure.kept import COMPARISONS
from npu_conformance.report.model import Report
from npu_conformance.traces.sealed import seal
from npu_conformance.traces.trace import BOUNDARY, COLD, PREFILL, WITHOUT_ADAPTER, Trace, drop_rows

_PARTS = ("candidate", *(f"candidate/{part}" for part in (PREFILL, COLD, BOUNDARY)), "reference")


def may_drop(variant: str, candidate: Trace) -> bool:
    """Whether what is measured of a variant's rows can take their place."""
    # The effect of an adapter is read from rows with it and without it.
    return variant != "base" and not (candidate.folder / WITHOUT_ADAPTER).is_dir()


def removed_line(size: int) -> str:
    """What a user is told of rows that took so many bytes."""
    return f"removed {size_text(size)} of logits, of variants whose logits did not fail; --keep-traces keeps them"


def drop_judged(folder: Path, report: Report) -> int:
    """Remove the rows of variants of which no check of logits failed; how many bytes that frees.

    Args:
        folder: the run's report folder.
        report: of the run.
    """
    removed = 0
    for model in report.models:
        failed = [check for check in model.checks if check.verdict in ("fail", "error")]
        looked_at = {one.variant for one in failed if one.check not in CHECKS or CHECKS[one.check].reads_logits}
        traces = folder / "traces" / model.name
        for kept in traces.glob(f"*/{COMPARISONS}"):
            if kept.parent.name not in looked_at:
                removed += sum(drop_rows(kept.parent / part) for part in _PARTS)
        if traces.is_dir():
            seal(traces)
    return removed
