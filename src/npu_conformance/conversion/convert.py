"""A quantised checkpoint into one of plain weights, which every engine can load.

The work is done in `<destination>.partial`, whose `conversion.json` lists the finished shards, so that an interrupted
conversion goes on where it was; the folder gets its name when everything is in it.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.quantisation.place import KEYS, LEGACY_FILE, MODELOPT_FILE
from npu_conformance.config.limits import Dtype
from npu_conformance.conversion.plan import DTYPE_KEYS, Conversion, plan, total
from npu_conformance.conversion.shards import Output, index, layout, write_shard
from npu_conformance.errors import CheckpointError
from npu_conformance.machine.provenance import package_versions
from npu_conformance.machine.storage import digest, write_json

if TYPE_CHECKING:
    from npu_conformance.workers.job import ConvertJob

RECORD = "conversion.json"
"""What was converted, how, and what rounding cost."""

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
        source: a checkpoint folder in block FP8, in GPTQ, or of latents trained to be ternary.
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
    conversion = plan(inspect(source), dtype, ternary_group_size)
    shards = layout(conversion.outputs(), _SHARD_BYTES)
    _check_place(source, destination)
    stage = destination.with_name(f"{destination.name}.partial")
    try:
        stage.mkdir(parents=True, exist_ok=True)
        with _alone(stage):
            record = _resume(stage, _identity(conversion))
            _check_space(source, stage, [shard for file, shard in shards.items() if file not in record["shards"]])
            _write_weights(conversion, stage, shards, record, progress)
            _write_others(conversion, stage, shards)
            write_json(stage / RECORD, record | {"total": total([*chain(*record["shards"].values())])})
            _check_place(source, destination)
            stage.rename(destination)
    except OSError as error:
        raise CheckpointError(f"{stage}: cannot be written ({error}): the same command goes on from here") from error


def run(job: "ConvertJob", progress: Progress) -> None:
    """Convert a checkpoint in a worker process."""
    convert(job.source, job.output, job.dtype, progress)


def summary(destination: Path) -> str:
    """One line on what a conversion cost.

    Args:
        destination: a folder that `convert` wrote.
    """
    record = json.loads((destination / RECORD).read_text(encoding="utf-8"))
    figures = record["total"]
    return (
        f"{figures['weights']} weights from {record['scheme']}; rounding them to {record['dtype']} cost "
        f"{figures['relative_rms_error']:.3%} rms, {figures['max_absolute_error']:.3g} at most"
    )


def _check_place(source: Path, destination: Path) -> None:
    if destination.exists():
        raise CheckpointError(f"{destination}: is there already and is not overwritten: choose another destination")
    if source in destination.parents:
        raise CheckpointError(f"{destination}: is inside the source: choose another destination")


@contextmanager
def _alone(stage: Path) -> Iterator[None]:
    """Keep a second process out, until this one ends, however it does."""
    handle = os.open(stage, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CheckpointError(f"{stage}: another process is converting to here: wait for it") from error
    finally:
        os.close(handle)


def _identity(conversion: Conversion) -> dict[str, Any]:
    """What must be the same for finished shards to be kept."""
    checkpoint = conversion.checkpoint
    states = {file.name: file.stat() for file in checkpoint.files}
    return {
        "source": str(checkpoint.folder),
        "source_digest": digest(
            [
                checkpoint.config,
                [[name, tensor.shape, tensor.dtype, tensor.file.name] for name, tensor in checkpoint.tensors.items()],
                [[name, state.st_size, state.st_mtime_ns] for name, state in states.items()],
            ]
        ),
        "scheme": conversion.scheme.name,
        "options": conversion.scheme.options,
        "dtype": conversion.dtype,
        "left_out": sorted(conversion.scheme.unused),
        "versions": package_versions(),
    }


def _resume(stage: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The record of what was done already; begun where there is none."""
    path = stage / RECORD
    if not path.is_file():
        if any(not entry.name.startswith(".") for entry in stage.iterdir()):
            raise CheckpointError(f"{stage}: holds something else than a conversion: move it away")
        write_json(path, identity | {"shards": {}})
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if changed := [key for key, value in identity.items() if record.get(key) != value]:
        raise CheckpointError(
            f"{stage}: the conversion begun there had another {' and another '.join(changed)}: delete it to begin "
            "again, or choose another destination"
        )
    for leftover in stage.glob(".*"):
        leftover.unlink()
    record["shards"] = {file: account for file, account in record["shards"].items() if (stage / file).is_file()}
    return record


def _check_space(source: Path, stage: Path, shards: list[list[Output]]) -> None:
    needed = sum(output.size for shard in shards for output in shard)
    needed += sum(path.stat().st_size for path in _other_files(source))
    free = shutil.disk_usage(stage).free
    if needed > free:
        raise CheckpointError(
            f"{stage}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free: make room, or choose a "
            "destination on another disk"
        )


def _write_weights(
    conversion: Conversion, stage: Path, shards: dict[str, list[Output]], record: dict[str, Any], progress: Progress
) -> None:
    done, count = 0, sum(len(shard) for shard in shards.values())

    def blocks(output: Output, account: list[dict[str, Any]]) -> Iterator[Any]:
        nonlocal done
        yield from conversion.blocks(output, account)
        done += 1
        progress(output.name, done, count)

    for file, shard in shards.items():
        if file in record["shards"]:
            done += len(shard)
            continue
        account: list[dict[str, Any]] = []
        write_shard(stage / file, shard, partial(blocks, account=account))
        record["shards"][file] = account
        write_json(stage / RECORD, record)


def _write_others(conversion: Conversion, stage: Path, shards: dict[str, list[Output]]) -> None:
    source = conversion.checkpoint.folder
    for path in _other_files(source):
        copy = stage / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
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
    return config if set(DTYPE_KEYS) & set(config) else config | {DTYPE_KEYS[0]: conversion.dtype}


def _plain(config: dict[str, Any], dtype: Dtype) -> dict[str, Any]:
    """A config, or a part of it, without quantisation and with this dtype."""
    kept = {key: value for key, value in config.items() if key not in KEYS}
    plain = {key: _plain(value, dtype) if isinstance(value, dict) else value for key, value in kept.items()}
    return plain | {key: dtype for key in DTYPE_KEYS if key in plain}
