"""Runs inside the engine: a vLLM logits processor that writes each raw logits row to disk, and may force tokens.

vLLM calls it with the float32 logits of a step before anything changes them. Rows go to fixed places in
sparse files, so the last write for a (request, step) wins: a prompt prefilled in chunks is seen once a chunk,
and only the last call has its real first row. A request that forces tokens has its row recorded first, then all
words but the given one masked, so that any engine takes the same tokens through its own decode kernels.

Files in the scratch folder, slot = request index * max_tokens + step:
    vocabulary  words in a row, as text
    kind        one byte a slot: 0 nothing, 1 narrow, 2 float32
    place       batch row and prefills so far, by slot
    narrow      rows in the model's dtype, where that is exact
    float32     the other rows
    digest      16 bytes a slot, instead of rows, in runs where only equality matters
    given-<r>   digest and a flag by slot: the row that rank r was given, and whether it wrote it; only where asked
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from npu_conformance.engines.vllm.scratch import DIGEST_BYTES, EXTRA_ARGS_KEY, FLOAT32, GIVEN, NARROW, PLACE, given_file
from npu_conformance.traces.rows import row_digest


class _Request:
    """A request that is captured: where its rows go, and its tokens so far."""

    def __init__(self, settings: dict[str, Any], output_token_ids: list[int]) -> None:
        self.scratch: str = settings["scratch"]
        self.digests_only: bool = settings["digests_only"]
        self.first_slot: int = settings["first_slot"]
        self.last_step: int = settings["max_tokens"] - 1
        self.forced: list[int] | None = settings["forced"]
        self.by_rank: bool = settings["by_rank"]
        self.prefills = 0
        # vLLM's own list, which grows while the request runs.
        self.output_token_ids = output_token_ids

    @property
    def step(self) -> int:
        return len(self.output_token_ids)

    @property
    def slot(self) -> int | None:
        return None if self.step > self.last_step else self.first_slot + self.step

    @property
    def next_token(self) -> int | None:
        """The token it must take now."""
        return self.forced[self.step] if self.forced is not None and self.step < len(self.forced) else None


class _Files:
    """The scratch files of one run, opened once."""

    def __init__(self, scratch: str, vocabulary: int) -> None:
        self.scratch = scratch
        folder, flags = Path(scratch), os.O_WRONLY | os.O_CREAT
        names = ("kind", "narrow", "float32", "digest", "place")
        # Objects, which close with their last reference: a descriptor would keep the disk of rows long deleted.
        self._files = {name: os.fdopen(os.open(folder / name, flags, 0o644), "wb", buffering=0) for name in names}
        (folder / "vocabulary").write_text(str(vocabulary))

    def row(self, slot: int, file: str, kind: int, data: memoryview) -> None:
        self._write(file, data, slot * data.nbytes)
        self._write("kind", bytes([kind]), slot)

    def digest(self, slot: int, digest: bytes) -> None:
        self._write("digest", digest, slot * DIGEST_BYTES)

    def place(self, slot: int, row: int, prefills: int) -> None:
        self._write("place", np.array((row, prefills), dtype=PLACE).tobytes(), slot * PLACE.itemsize)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _write(self, name: str, data: bytes | memoryview, offset: int) -> None:
        os.pwrite(self._files[name].fileno(), data, offset)


class LogitsCapture(LogitsProcessor):
    """Writes raw logits rows of the requests that ask for it in `SamplingParams.extra_args`."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002
        self._dtype = vllm_config.model_config.dtype
        # Every tensor-parallel rank is called with the same gathered logits; one of them writes.
        self._rank = get_tensor_model_parallel_rank()
        self._writes = self._rank == 0
        self._requests: dict[int, _Request] = {}
        self._files: _Files | None = None

    def is_argmax_invariant(self) -> bool:
        """Changes nothing, but says no: vLLM skips argmax-invariant processors in greedy sampling."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests as they join, leave and move within the batch."""
        process_dict_updates(self._requests, batch_update, _new_request)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Write the rows of captured requests; logits are float32 [batch, vocabulary], masked only where forced."""
        if self._requests:
            wrote = self._record(logits) if self._writes else set()
            self._say_what_was_given(logits, wrote)
            self._force(logits)
        return logits

    def _record(self, logits: torch.Tensor) -> set[int]:
        """Write what is captured; the slots."""
        rows = self._slots()
        if not rows:
            return set()
        batch = logits[[row for row, _, _ in rows]].cpu()
        narrow = batch.to(self._dtype)
        exact = (narrow == batch).all(dim=1).tolist() if self._dtype != torch.float32 else [False] * len(rows)
        for index, (row, request, slot) in enumerate(rows):
            request.prefills += request.step == 0
            files = self._files_of(request, logits.shape[1])
            files.place(slot, row, request.prefills)
            if request.digests_only:
                files.digest(slot, bytes.fromhex(row_digest(batch[index].numpy())))
            elif exact[index]:
                files.row(slot, "narrow", NARROW, _memory(narrow[index]))
            else:
                files.row(slot, "float32", FLOAT32, _memory(batch[index]))
        return {slot for _, _, slot in rows}

    def _slots(self) -> list[tuple[int, _Request, int]]:
        """Batch rows that are captured, each with its request and slot."""
        return [(row, one, slot) for row, one in self._requests.items() if (slot := one.slot) is not None]

    def _say_what_was_given(self, logits: torch.Tensor, wrote: set[int]) -> None:
        """Leave digests of this rank's rows, for requests that ask for them."""
        for row, request, slot in self._slots():
            if request.by_rank:
                said = np.zeros(1, dtype=GIVEN)
                said["digest"] = row_digest(logits[row].float().cpu().numpy())
                said["wrote"] = slot in wrote
                path = Path(request.scratch) / given_file(self._rank)
                path.touch()
                with path.open("r+b") as file:
                    file.seek(slot * GIVEN.itemsize)
                    file.write(said.tobytes())

    def _files_of(self, request: _Request, vocabulary: int) -> _Files:
        """Its files; those of the run before are done with, for one run ends before the next begins."""
        if self._files is None or self._files.scratch != request.scratch:
            if self._files is not None:
                self._files.close()
            self._files = _Files(request.scratch, vocabulary)
        return self._files

    def _force(self, logits: torch.Tensor) -> None:
        tokens = {row: token for row, request in self._requests.items() if (token := request.next_token) is not None}
        if tokens:
            rows = list(tokens)
            logits[rows] = float("-inf")
            logits[rows, list(tokens.values())] = 0.0


def _new_request(
    params: SamplingParams | None, _prompt: list[int] | None, output_token_ids: list[int]
) -> _Request | None:
    settings = (params.extra_args or {}).get(EXTRA_ARGS_KEY) if params is not None else None
    return _Request(settings, output_token_ids) if settings else None


def _memory(row: torch.Tensor) -> memoryview:
    return memoryview(row.contiguous().view(torch.uint8).numpy())
