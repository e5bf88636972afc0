"""What `npu-conformance verify` prints."""

from collections import Counter
from pathlib import Path

from npu_conformance.commands.console import say
from npu_conformance.commands.hand_in.findings import Finding, Status
from npu_conformance.commands.hand_in.manifest import read_manifest
from npu_conformance.commands.hand_in.verify import findings
from npu_conformance.errors import ConfigError, ConformanceError

_ORDER: tuple[Status, ...] = ("follows", "cannot be checked", "does not follow")


def verify(folder: Path) -> int:
    """Print what follows from a hand-in's data; 0 where nothing does not, else 1.

    Args:
        folder: that `deliver` made.

    Raises:
        ConfigError: it is no folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder: name one that npu-conformance deliver made")
    manifest, found, broken = read_manifest(folder), list[Finding](), ""
    if manifest.subject == "twin":
        say(f"{manifest.model}: {manifest.note}")
    try:
        found.extend(findings(folder))
    except ConformanceError as error:
        broken = str(error)
    for status in _ORDER:
        for one in found:
            if one.status == status:
                say(f"{status:17}  {one.what}" + (f": {one.why}" if one.why else ""))
    counts = Counter(one.status for one in found)
    if broken:
        say(f"does not follow    {broken}")
    say("", f"{folder}: " + ", ".join(f"{counts[status]} {status}" for status in _ORDER))
    return int(bool(counts["does not follow"] or broken))
