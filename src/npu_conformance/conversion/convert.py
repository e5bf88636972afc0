"""A quantised checkpoint into one of plain weights, which every engine can load.

The work is done in `<destination>.partial` (see `stage`), so that an interrupted conversion goes on where it was; the
folder gets its name when everything is in it.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.quantisation.place import KEYS, LEGACY_FILE, MODELOPT_FILE
from npu_conformance.config.limits import Dtype
from npu_conformance.conversion.plan import DTYPE_KEYS, Conversion, plan, total
from npu_conformance.conversion.shards import Output, index, layout, write_shard
from npu_conformance.conversion.stage import RECORD, Identity, Stage, find_record, open_stage
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import digest, write_json

if TYPE_CHECKING:
    from npu_conformance.workers.job import ConvertJob

_SHARD_BYTES = 1 << 30
_LARGEST_OTHER_FILE = 1 << 27
_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx"}
_REPLACED = {"config.json", LEGACY_FILE, MODELOPT_FILE, RECORD}

Progress = Callable[[str, int, int], None]


def convert(
    source: Path,
    destination: Path,
    dtype: Dtype | None,
    progress: Progress,
    ternary_group_size: int | None = None,
) -> None:
    """Write a checkpoint's weights as plain ones, beside its tokenizer and other small files.

    An interrupted call leaves nothing at `destination`; the next one keeps the shards that were finished.

    Args:
        source: a checkpoint folder in FP8, GPTQ, AWQ or compressed-tensors, or of latents trained to be ternary.
        destination: a folder that does not exist.
        dtype: of the weights that were quantised and of other tensors of 16-bit floats; None: the config's. Other
            tensors are left as they are.
        progress: called with a tensor's name, the tensors done and the tensors there are.
        ternary_group_size: inputs that share a magnitude, -1 for all of a row; given for ternary latents only, for
            no config says that weights are such.

    Raises:
        CheckpointError: the source cannot be converted or is damaged, the destination exists, the disk is too
            small, or a conversion of something else was begun there.
    """
    source, destination = source.absolute(), destination.absolute()
    _check_place(source, destination)
    conversion = plan(inspect(source), dtype, ternary_group_size)
    conversion.check()
    shards = layout(conversion.outputs(), _SHARD_BYTES)
    folder = destination.with_name(f"{destination.name}.partial")
    try:
        with open_stage(folder, _identity(conversion), shards) as stage:
            done = stage.record.shards
            _check_space(source, folder, [shard for file, shard in shards.items() if file not in done])
            _write_weights(conversion, stage, shards, progress)
            _write_others(conversion, folder, shards)
            stage.record.total = total([*chain(*done.values())])
            stage.save()
            _check_place(source, destination)
            folder.rename(destination)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error}): the same command goes on from here") from error


def run(job: "ConvertJob", progress: Progress) -> None:
    """Convert a checkpoint in a worker process."""
    convert(job.source, job.output, job.dtype, progress)


def summary(destination: Path) -> str:
    """One line on what a conversion cost.

    Args:
        destination: a folder that `convert` wrote.
    """
    record = find_record(destination)
    if record is None or record.total is None:
        raise CheckpointError(f"{destination}: is not what a conversion wrote: convert again, to another destination")
    figures = record.total
    return (
        f"{figures['weights']} weights from {record.scheme}; rounding them to {record.dtype} cost "
        f"{figures['relative_rms_error']:.3%} rms, {figures['max_absolute_error']:.3g} at most"
    )


def _check_place(source: Path, destination: Path) -> None:
    for path in (source, destination):
        if "\0" in str(path):
            raise CheckpointError(f"{str(path)!r}: no path has a NUL in it: choose another")
    if os.path.lexists(destination):
        raise CheckpointError(f"{destination}: is there already and is not overwritten: choose another destination")
    if source.resolve() in destination.resolve().parents:
        raise CheckpointError(f"{destination}: is inside the source: choose another destination")


def _identity(conversion: Conversion) -> Identity:
    checkpoint = conversion.checkpoint
    states = {file.name: file.stat() for file in checkpoint.files}
    return Identity(
        source=str(checkpoint.folder),
        source_digest=digest(
            [
                checkpoint.config,
                [[name, tensor.shape, tensor.dtype, tensor.file.name] for name, tensor in checkpoint.tensors.items()],
                [[name, state.st_size, state.st_mtime_ns] for name, state in states.items()],
            ]
        ),
        scheme=conversion.scheme.name,
        options=conversion.scheme.options,
        dtype=conversion.dtype,
        left_out=sorted(conversion.scheme.unused),
        versions=package_versions(),
    )


def _check_space(source: Path, stage: Path, shards: list[list[Output]]) -> None:
    needed = sum(output.size for shard in shards for output in shard)
    needed += sum(path.stat().st_size for path in _other_files(source))
    free = shutil.disk_usage(stage).free
    if needed > free:
        raise CheckpointError(
            f"{stage}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free: make room, or choose a "
            "destination on another disk"
        )


def _write_weights(conversion: Conversion, stage: Stage, shards: dict[str, list[Output]], progress: Progress) -> None:
    done, count = 0, sum(len(shard) for shard in shards.values())

    def blocks(output: Output, account: list[dict[str, Any]]) -> Iterator[Any]:
        nonlocal done
        yield from conversion.blocks(output, account)
        done += 1
        progress(output.name, done, count)

    stage.save()
    for file, shard in shards.items():
        if file in stage.record.shards:
            done += len(shard)
            continue
        account: list[dict[str, Any]] = []
        try:
            write_shard(stage.folder / file, shard, partial(blocks, account=account))
        except CheckpointError:
            # Of weights that are damaged, or too large for the dtype, no shard is of use.
            stage.discard(shards)
            raise
        stage.finish(file, account)


def _write_others(conversion: Conversion, stage: Path, shards: dict[str, list[Output]]) -> None:
    source = conversion.checkpoint.folder
    for path in _other_files(source):
        copy = stage / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        shutil.copyfile(path, copy)
    write_json(stage / "config.json", _plain_config(conversion))
    if len(shards) > 1:
        write_json(stage / "model.safetensors.index.json", index(shards))


def _other_files(folder: Path) -> list[Path]:
    """The tokenizer and whatever else is small and neither weights nor about how they were stored."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name not in _REPLACED
        and not _WEIGHTS & {path.suffix, Path(path.name.removesuffix(".index.json")).suffix}
        and path.stat().st_size <= _LARGEST_OTHER_FILE
    ]


def _plain_config(conversion: Conversion) -> dict[str, Any]:
    config = _plain(conversion.checkpoint.config, conversion.dtype)
    # Every transformers reads this key, the newer one only since 4.56.
    return config if set(DTYPE_KEYS) & set(config) else config | {"torch_dtype": conversion.dtype}


def _plain(config: dict[str, Any], dtype: Dtype) -> dict[str, Any]:
    """A config, or a part of it, without quantisation and with this dtype."""
    kept = {key: value for key, value in config.items() if key not in KEYS}
    plain = {key: _plain(value, dtype) if isinstance(value, dict) else value for key, value in kept.items()}
    return plain | {key: dtype for key in DTYPE_KEYS if key in plain}
