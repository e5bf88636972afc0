"""The one reading of which file holds which tensor of a checkpoint folder; no weights are loaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from npu_conformance.checkpoints.checkpoint import Finding, some
from npu_conformance.checkpoints.headers import read_header, shown
from npu_conformance.checkpoints.layout import Layout, find_layout
from npu_conformance.checkpoints.pickled import read_pickled_header
from npu_conformance.checkpoints.tensor import Tensor
from npu_conformance.errors import CheckpointError

# Mistral's files may keep a buffer that transformers computes.
_SAME_MODEL = 0.01


@dataclass(frozen=True)
class Weights:
    """The tensors of a folder's weight files."""

    tensors: dict[str, Tensor]
    """By name; of one that is in two files, the one that is read last."""
    findings: tuple[Finding, ...]
    """Tensors that are not in exactly one place, or not where the index says."""


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint folder by name (see `read_weights`)."""
    return read_weights(folder).tensors


def read_weights(folder: Path) -> Weights:
    """Read the headers of all files that an engine or the reference reads.

    Raises:
        CheckpointError: there are no weights, a file is missing or damaged, or the index is not of these files.
    """
    layout = find_layout(folder)
    stored: dict[str, list[Tensor]] = {}
    for file in layout.files:
        for name, tensor in read_file(file).items():
            stored.setdefault(name, []).append(tensor)
    if not stored:
        raise CheckpointError(
            f"{layout.files[0]}: holds no tensors ({len(layout.files)} weight files in all): download the model again"
        )
    findings = [
        *layout.findings,
        *_twice(layout, stored),
        *_against_index(layout, stored),
        *(finding for file in layout.strays for finding in _stray(layout, file, stored)),
        *_consolidated(layout, stored),
    ]
    return Weights({name: places[-1] for name, places in stored.items()}, tuple(findings))


def read_file(file: Path) -> dict[str, Tensor]:
    """The tensors one weight file declares.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        return read_pickled_header(file) if file.suffix == ".bin" else read_header(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: missing: download the model again") from error


def _twice(layout: Layout, stored: dict[str, list[Tensor]]) -> Iterator[Finding]:
    twice = {name: places for name, places in stored.items() if len(places) > 1}
    if not twice:
        return
    name, places = next(iter(twice.items()))
    files = " and in ".join(tensor.file.name for tensor in places)
    says = f"; {layout.index.name} says {layout.places[name]}" if layout.index and name in layout.places else ""
    message = (
        f"is in {files}{says}; vLLM and transformers take the one that they read last: delete the other, or download "
        f"the model again{_more(twice)}"
    )
    yield Finding("error", shown(name), message)


def _against_index(layout: Layout, stored: dict[str, list[Tensor]]) -> Iterator[Finding]:
    if layout.index is None:
        return
    places, index = layout.places, layout.index.name
    if absent := sorted(set(places) - set(stored)):
        raise CheckpointError(
            f"{layout.index.parent / places[absent[0]]}: {shown(absent[0])} is not in it, but {index} says so "
            f"({len(absent)} such tensors): shards and index are not of the same model: download it again"
        )
    if unlisted := [name for name in stored if name not in places]:
        file = stored[unlisted[0]][0].file.name
        message = (
            f"is in {file}, but {index} does not list it; vLLM and transformers load it all the same: download "
            f"{index} again{_more(unlisted)}"
        )
        yield Finding("warning", shown(unlisted[0]), message)
    elsewhere = [
        name
        for name, found in stored.items()
        if len(found) == 1 and places.get(name, found[0].file.name) != found[0].file.name
    ]
    if elsewhere:
        name = elsewhere[0]
        message = (
            f"is in {stored[name][0].file.name}, {index} says {places[name]}; vLLM and transformers find it all the "
            f"same{_more(elsewhere)}"
        )
        yield Finding("note", shown(name), message)


def _stray(layout: Layout, file: Path, stored: dict[str, list[Tensor]]) -> Iterator[Finding]:
    """A file that vLLM reads besides the checkpoint's."""
    stray = shown(file.name)
    own = f"{layout.files[0].name}{' alone' if len(layout.files) == 1 else ' and its like'}"
    try:
        found = read_file(file)
    except CheckpointError as error:
        yield Finding("error", stray, f"vLLM reads it too, and it cannot be read ({error}): move it elsewhere")
        return
    both = [name for name in found if name in stored]
    if both:
        message = (
            f"{shown(both[0])} is in it and in {stored[both[0]][-1].file.name}; vLLM reads both, transformers reads "
            f"{own}: move {stray} out of the folder{_more(both)}"
        )
        yield Finding("error", stray, message)
    elif found:
        message = f"vLLM reads its tensors too, transformers reads {own}: move it elsewhere if it is not of the model"
        yield Finding("warning", stray, message)


def _consolidated(layout: Layout, stored: dict[str, list[Tensor]]) -> Iterator[Finding]:
    if not layout.consolidated:
        return
    theirs = _elements(tensor for file in layout.consolidated for tensor in read_file(file).values())
    own = _elements(places[-1] for places in stored.values())
    files = some([file.name for file in layout.consolidated])
    if abs(own - theirs) > _SAME_MODEL * own:
        message = (
            f"vLLM reads it, with {theirs} elements, and transformers {layout.files[0].name} with {own}: are both of "
            "the same model?"
        )
        yield Finding("warning", files, message)
    else:
        yield Finding("note", files, f"vLLM reads it, and transformers {layout.files[0].name}: one model twice")


def _elements(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.size for tensor in tensors)


def _more(names: Iterable[str]) -> str:
    count = len(list(names)) - 1
    return f" ({count} more such)" if count else ""
