"""Which code made an entry of the cache: its name ends with a mark, so that what older code made can be told."""

from functools import cache
from pathlib import Path
from types import ModuleType

from npu_conformance import audit, checkpoints, conversion
from npu_conformance.engines.reference.scoring import SCORING_VERSION
from npu_conformance.machine.cache import AUDITS, CONVERTED, REFERENCES, SCANS
from npu_conformance.machine.storage import cache_dir, code_digest, digest

_CODE: dict[str, tuple[ModuleType, ...]] = {
    CONVERTED: (conversion, checkpoints),
    SCANS: (audit, checkpoints),
    AUDITS: (audit, checkpoints),
}
"""Packages that something is made by: what an older version of them made is not used."""


def cached_at(kind: str, key: str) -> Path:
    """Where the cache has something of a kind, without a suffix; of references, the folder of a checkpoint's.

    Args:
        kind: a folder of the cache.
        key: digest of all it depends on besides the code, with a name before it where there is one.
    """
    return cache_dir() / kind / f"{key}-{_mark(kind)}"


def is_current(kind: str, name: str) -> bool:
    """Whether an entry's name has the mark of today's code; yes for kinds whose entries have none."""
    return kind not in (*_CODE, REFERENCES) or name.endswith(f"-{_mark(kind)}")


@cache
def _mark(kind: str) -> str:
    if kind == REFERENCES:
        return f"v{SCORING_VERSION}"
    return digest([code_digest(Path(str(room.__file__)).parent) for room in _CODE[kind]])[:8]
