"""`npu-conformance dev history`: a page over all saved runs, and removing the old ones."""

from pathlib import Path

from npu_conformance.errors import ConfigError
from npu_conformance.machine.cache import size_text
from npu_conformance.report.history import prune, write_history


def history(reports: Path, keep: int | None) -> int:
    """Remove all runs but the newest `keep`, where that is asked for; then write the page.

    Raises:
        ConfigError: nothing would be kept.
        TraceError: there is no run.
    """
    if keep is not None:
        if keep < 1:
            raise ConfigError(f"--keep {keep}: must be 1 or more")
        removed, freed = prune(reports, keep)
        for path in removed:
            print(f"removed {path}")
        print(f"{reports}: removed {len(removed)} runs, {size_text(freed)}")
    for path in write_history(reports):
        print(path)
    return 0
