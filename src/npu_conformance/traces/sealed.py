"""`digests.json` of a model's folder of traces: of which model it is, and the SHA-256 of each of its files.

A run writes it, whole, after each variant. Whoever judges the traces later judges what the run left: a file that was
changed, lost, put there or taken from another model's folder is named.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import sha256, write_text
from npu_conformance.traces.reading import read_saved

DIGESTS = "digests.json"
_LISTED = 3
_AGAIN = "judge the folder that the run left, or run the model again"


class Digests(BaseModel):
    """What a model's folder of traces held when its run left it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: Literal[1] = 1
    model: str
    """Name of its config, and of the folder."""
    files: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]
    """SHA-256 of each file by its path in the folder."""


_DIGESTS = TypeAdapter(Digests)


def seal(traces: Path) -> None:
    """Write the digests of a model's folder of traces; those it has already are not computed again.

    Args:
        traces: the folder, named as the model.
    """
    known = _read(traces).files if (traces / DIGESTS).is_file() else {}
    names = list(_names(traces))
    digests = {name: known[name] for name in names if name in known}
    digests |= _hashed(traces, [name for name in names if name not in known])
    found = Digests(model=traces.name, files={name: digests[name] for name in names})
    write_text(traces / DIGESTS, found.model_dump_json(indent=1) + "\n")


def require_sealed(traces: Path, variants: Iterable[str]) -> None:
    """Refuse traces that are not as their run left them.

    Args:
        traces: a model's folder.
        variants: whose traces are wanted; of one that is not there nothing is said.

    Raises:
        TraceError: a file was changed, lost or added, there are no digests, or they are of another model.
    """
    sealed = _read(traces)
    path = traces / DIGESTS
    if sealed.model != traces.name:
        raise TraceError(f"{path}: is of {sealed.model}, expected {traces.name} by its folder: {_AGAIN}")
    parts = {variant for variant in variants if (traces / variant).is_dir()}
    there, expected = (
        [name for name in names if "/" not in name or name.split("/", 1)[0] in parts]
        for names in (_names(traces), sealed.files)
    )
    _refuse(traces, set(expected) - set(there), f"listed in {path} and missing")
    _refuse(traces, set(there) - set(expected), f"not in {path}: the run ended before, or somebody added it")
    found = _hashed(traces, expected)
    _refuse(traces, {name for name in expected if found[name] != sealed.files[name]}, "changed since the run")


def _refuse(traces: Path, names: set[str], what: str) -> None:
    if names:
        more = f" and {len(names) - _LISTED} more files" if len(names) > _LISTED else ""
        listed = ", ".join(str(traces / name) for name in sorted(names)[:_LISTED])
        raise TraceError(f"{listed}{more}: {what}: {_AGAIN}")


def _read(traces: Path) -> Digests:
    path = traces / DIGESTS
    if not path.is_file():
        raise TraceError(
            f"{path}: is missing, so nothing says that these are the traces the run left: an older version does not "
            "write it, nor a run that was ended before it judged; run the model again"
        )
    return read_saved(path, _DIGESTS)


def _names(traces: Path) -> Iterator[str]:
    """Files of a folder and links to folders, by their paths in it, but what begins with a dot: nobody reads that."""
    for path in sorted(traces.rglob("*")):
        name = path.relative_to(traces)
        hidden = any(part.startswith(".") for part in name.parts)
        if name != Path(DIGESTS) and not hidden and (path.is_symlink() or not path.is_dir()):
            yield name.as_posix()


def _hashed(traces: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files, several at once: hashing does not hold Python's lock. Of what is no file, nothing."""
    names = list(names)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(lambda name: _digest(traces / name), names), strict=True))


def _digest(path: Path) -> str:
    return sha256(path) if path.is_file() else ""
