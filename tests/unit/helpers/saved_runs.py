"""Report folders as a run leaves them: sealed."""

from pathlib import Path

from npu_conformance.traces.sealed import DIGESTS, seal


def reseal(report: Path) -> Path:
    """The same folder, as if its run had left what is in it now."""
    for traces in (report / "traces").glob("*"):
        (traces / DIGESTS).unlink(missing_ok=True)
        seal(traces)
    return report
