"""`manifest.json`: what a hand-in is of, what made it, and the SHA-256 of each of its files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter

from npu_conformance.commands.hand_in.findings import Finding, differs, follows
from npu_conformance.machine.own_digest import OwnDigest
from npu_conformance.machine.storage import digest, sha256, write_text
from npu_conformance.traces.reading import read_saved

MANIFEST = "manifest.json"


class Manifest(OwnDigest):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    schema_version: Literal[1] = 1
    model: str
    """Name of its config."""
    subject: Literal["real", "twin"]
    note: str = ""
    """That a twin's says nothing about the model."""
    suite: str
    """Version of the suite that made it."""
    code: str
    """Digest of the suite's code: another version words its files otherwise."""
    tree: str
    """Commit of vllm-ascend that the patch is for; `the tree at hand` where one was named."""
    files: dict[str, str]
    """SHA-256 of each file by its path, but for this one."""
    digest: str = ""
    """Of everything else in it."""


_MANIFEST = TypeAdapter(Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it, with the files that are there."""
    found = manifest.model_copy(update={"files": {name: sha256(folder / name) for name in _names(folder)}})
    write_text(folder / MANIFEST, found.sealed().model_dump_json(indent=1) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read it.

    Raises:
        TraceError: it is missing or damaged.
    """
    return read_saved(folder / MANIFEST, _MANIFEST, "name a folder that npu-conformance deliver made")


def check_files(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    """Files that are not as the manifest names them."""
    if manifest.digest != manifest.own_digest():
        yield differs(MANIFEST, "its digest is not that of what it says")
    there, listed = set(_names(folder)), set(manifest.files)
    for name in sorted(listed - there):
        yield differs(name, "is missing")
    for name in sorted(there - listed):
        yield differs(name, "is not in the manifest")
    links = [name for name in sorted(there) if (folder / name).is_symlink() or not (folder / name).is_file()]
    yield from (differs(name, "is a link, or no plain file") for name in links)
    plain = sorted((there & listed) - set(links))
    changed = [name for name in plain if sha256(folder / name) != manifest.files[name]]
    for name in changed:
        yield differs(name, "its SHA-256 is not the manifest's")
    if not changed and not links and there == listed:
        yield follows("all files", f"{len(there)} have the SHA-256 of the manifest")


def suite_code() -> str:
    """Digest of all that decides how a hand-in is worded."""
    package = Path(__file__).resolve().parents[2]
    kept = (path for path in package.rglob("*") if path.suffix in (".py", ".j2", ".css", ".js") and path.is_file())
    return digest([[path.relative_to(package).as_posix(), sha256(path)] for path in sorted(kept)])


def _names(folder: Path) -> list[str]:
    """All files by their paths, but the manifest."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST)
