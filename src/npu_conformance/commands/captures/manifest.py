"""`capture.json`: what a captured folder is of, and a checksum of each of its files.

It is written last, so a folder without one was not finished.
"""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, field_validator

from npu_conformance.engines.rendering import Rendered, load_rendered
from npu_conformance.errors import TraceError
from npu_conformance.machine.own_digest import OwnDigest
from npu_conformance.machine.storage import digest, sha256, write_text
from npu_conformance.measure.metrics import METRICS_VERSION
from npu_conformance.report.details import SubjectFacts
from npu_conformance.traces.reading import read_saved
from npu_conformance.traces.trace import FORMAT, load_trace

MANIFEST = "capture.json"
SCHEMA_VERSION = 1
_AGAIN = "copy the folder again"
# What makes ids of text, in any of the forms that tokenizers are published in.
_TOKENIZER = ("tokenizer*", "vocab*", "merges*", "chat_template*", "special_tokens_map.json", "added_tokens.json")

# They become names of folders.
NAME = r"^[A-Za-z0-9][\w.\-]*$"

Role = Literal["candidate", "reference"]


class Manifest(OwnDigest):
    """What a captured folder is of."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    schema_version: int = SCHEMA_VERSION
    role: Role
    model: Annotated[str, Field(pattern=NAME)]
    subject: Literal["real", "twin"]
    variants: tuple[Annotated[str, Field(pattern=NAME)], ...]
    prompts: str
    """Digest of the prompts' names and texts."""
    prompt_ids: str
    """Digest of their token ids."""
    tokenizer: str
    """Digest of the files that make ids of text."""
    reference_weights: str
    """Digest of the published weights."""
    adapter: str | None
    """Digest of the LoRA."""
    tokens: dict[str, str]
    """Digest of the tokens that were taken, by variant."""
    metrics_version: int = METRICS_VERSION
    trace_format: int = FORMAT
    files: dict[str, str]
    """SHA-256 of each file by its path in the folder."""
    digest: str = ""
    """Of everything else here."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name!r} leads out of the folder")
        return files

    @property
    def traces(self) -> Path:
        """The model's folder of traces, within the captured one."""
        return Path("traces") / self.model


_MANIFEST = TypeAdapter(Manifest)


def seal(folder: Path, role: Role, model: str, variants: tuple[str, ...], rendered: Path, facts: SubjectFacts) -> None:
    """Write the manifest of a folder that is complete.

    Args:
        folder: with `traces/MODEL/VARIANT/candidate` or `…/reference`.
        role: which of the two.
        model: name of its config.
        variants: that were captured.
        rendered: the prompts as token ids.
        facts: of the subject.

    Raises:
        TraceError: it holds a link, or a trace in it cannot be read.
    """
    prompts = load_rendered(rendered)
    taken = {name: load_trace(folder / "traces" / model / name / role).answers for name in variants}
    manifest = Manifest(
        role=role,
        model=model,
        subject="twin" if facts.kind == "twin" else "real",
        variants=variants,
        prompts=prompts_digest(prompts),
        prompt_ids=digest([list(ids) for ids in prompts.prompt_ids]),
        tokenizer=tokenizer_digest(Path(facts.reference_weights)),
        reference_weights=facts.reference_digest,
        adapter=facts.adapter_digest,
        tokens={name: digest([list(answer.token_ids) for answer in answers]) for name, answers in taken.items()},
        files={name: sha256(folder / name) for name in _files(folder)},
    )
    write_text(folder / MANIFEST, manifest.sealed().model_dump_json(indent=1) + "\n")


def is_capture(folder: Path) -> bool:
    """Whether a folder was captured; else it is a run's report folder."""
    return (folder / MANIFEST).is_file()


def open_capture(folder: Path) -> Manifest:
    """The manifest of a folder, every file of which is as it was sealed.

    Raises:
        TraceError: there is none, it is damaged, or a file is missing, changed, new or a link; names it.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise TraceError(f"{path}: missing: not a captured folder, or its capture was not finished")
    manifest = read_saved(path, _MANIFEST, _AGAIN)
    if manifest.digest != manifest.own_digest():
        raise TraceError(f"{path}: damaged: its digest is not that of its content; {_AGAIN}")
    there = set(_files(folder)) - {MANIFEST}
    if lost := sorted(manifest.files.keys() - there):
        raise TraceError(f"{folder / lost[0]}: missing ({len(lost)} of {len(manifest.files)} files are): copy it again")
    if added := sorted(there - manifest.files.keys()):
        raise TraceError(f"{folder / added[0]}: was not captured: remove it")
    for name, expected in manifest.files.items():
        if sha256(folder / name) != expected:
            raise TraceError(f"{folder / name}: changed since it was captured: its checksum differs; copy it again")
    return manifest


def _files(folder: Path) -> list[str]:
    """Files of a folder, by their paths in it.

    Raises:
        TraceError: it holds a link, behind which a copy would find what nobody sealed, or what is no file at all.
    """
    names = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise TraceError(
                f"{path}: is a link: a captured folder holds files themselves: remove it, or copy it again"
            )
        if path.is_file():
            names.append(str(path.relative_to(folder)))
        elif not path.is_dir():
            raise TraceError(f"{path}: is neither a file nor a folder: remove it")
    return names


def difference(mine: Manifest, theirs: Manifest) -> str | None:
    """In what two captures differ so that nothing can be compared; None where it can."""
    for what, a, b in (
        ("model", mine.model, theirs.model),
        ("subject", mine.subject, theirs.subject),
        ("prompts", mine.prompts, theirs.prompts),
        ("tokenizer", mine.tokenizer, theirs.tokenizer),
        ("prompts' token ids", mine.prompt_ids, theirs.prompt_ids),
        ("published weights", mine.reference_weights, theirs.reference_weights),
        ("LoRA", mine.adapter, theirs.adapter),
        ("version of the metrics", mine.metrics_version, theirs.metrics_version),
        ("format of the traces", mine.trace_format, theirs.trace_format),
    ):
        if a != b:
            return f"not the same {what}: {a} and {b}"
    return None


def prompts_digest(rendered: Rendered) -> str:
    """Of prompts as people wrote them."""
    return digest([prompt.model_dump(mode="json") for prompt in rendered.prompts])


def tokenizer_digest(checkpoint: Path) -> str:
    """Of a checkpoint's tokenizer: names and bytes of its files."""
    files = sorted({path for pattern in _TOKENIZER for path in checkpoint.glob(pattern) if path.is_file()})
    return digest([[path.name, sha256(path)] for path in files])
