"""Loading a tensor: by name from either kind of file, and what is said where it cannot be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from npu_conformance.checkpoints.inspect import inspect
from npu_conformance.checkpoints.load import load_tensor
from npu_conformance.errors import CheckpointError
from tests.unit.helpers.quantised_checkpoints import EMBEDDING, UP, save_fp8, save_latents

SAVES = pytest.mark.parametrize(
    ("save", "file"), [(save_fp8, "model.safetensors"), (save_latents, "pytorch_model.bin")]
)


@SAVES
def test_a_tensor_is_loaded_as_it_is_stored(tmp_path: Path, save: Callable[[Path], Path], file: str) -> None:
    """Shape and dtype are the header's, and the values are all there."""
    import torch

    checkpoint = inspect(save(tmp_path / "model"))

    tensor = load_tensor(checkpoint, EMBEDDING)

    declared = checkpoint.tensors[EMBEDDING]
    assert (tuple(tensor.shape), declared.file.name) == (declared.shape, file)
    assert tensor.dtype == torch.bfloat16
    random = torch.Generator().manual_seed(0)
    assert torch.equal(tensor, torch.randn(*declared.shape, generator=random).to(torch.bfloat16))


@SAVES
def test_a_tensor_that_cannot_be_loaded_is_named(tmp_path: Path, save: Callable[[Path], Path], file: str) -> None:
    """Because it is not there, or because its file was damaged after inspection."""
    folder = save(tmp_path / "model")
    checkpoint = inspect(folder)
    (folder / file).write_bytes(b"damaged")

    with pytest.raises(CheckpointError, match=f"{folder}: absent is missing"):
        load_tensor(checkpoint, "absent")
    with pytest.raises(CheckpointError, match=rf"{file}: {UP} cannot be read \(.*\): download") as caught:
        load_tensor(checkpoint, UP)

    assert "\n" not in str(caught.value)
