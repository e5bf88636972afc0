"""Memory that converting a checkpoint of 1 GB takes: `python -m bench.conversion`, apart from `make bench`.

Only anonymous memory is counted: pages of the source are mapped, and the system drops them when it needs room.
"""

import multiprocessing
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from rich.console import Console

from bench import shape
from npu_conformance.config.limits import Dtype
from npu_conformance.conversion.convert import convert, summary
from npu_conformance.machine.storage import write_json

_WIDTH = 1024
# Of a model of 27B parameters: one is 356 MB in float32, as the embedding is 622 MB.
_MATRIX = (5120, 17408)
_MATRICES = 8
_BLOCK = 128
_DTYPES: tuple[Dtype, ...] = ("bfloat16", "float32")
_MOST = 200
_INTERVAL = 0.005


def main() -> None:
    """Make a checkpoint, convert it in processes of their own, print what memory that took."""
    with tempfile.TemporaryDirectory() as name:
        source, destination = Path(name) / "source", Path(name) / "converted"
        _save(source)
        size = sum(file.stat().st_size for file in source.iterdir())
        for dtype in _DTYPES:
            started = time.monotonic()
            peak = _peak(source, destination, dtype)
            Console(highlight=False, soft_wrap=True).print(
                f"{size / 1e9:.2f} GB to {dtype}: {peak:.0f} MB over a process that has imported torch "
                f"({'met' if peak < _MOST else 'MISSED'}: less than {_MOST}); {time.monotonic() - started:.0f} s; "
                f"{summary(destination)}"
            )
            shutil.rmtree(destination)


def _save(folder: Path) -> None:
    """A config, an embedding and FP8 matrices of random codes."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    quantisation = {"quant_method": "fp8", "weight_block_size": [_BLOCK, _BLOCK]}
    config = {"model_type": "bench", "torch_dtype": "bfloat16", "vocab_size": shape.VOCABULARY}
    config |= {"quantization_config": quantisation}
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", {"model": {"vocab": {}}})
    random = torch.Generator().manual_seed(shape.SEED)
    embedding = torch.randn(shape.VOCABULARY, _WIDTH, generator=random).to(torch.bfloat16)
    save_file({"model.embed_tokens.weight": embedding}, folder / "embedding.safetensors")
    for index in range(_MATRICES):
        name = f"model.layers.{index}.mlp.down_proj.weight"
        # 0x7f would be NaN.
        codes = torch.randint(0x7F, _MATRIX, dtype=torch.uint8, generator=random).view(torch.float8_e4m3fn)
        scales = torch.rand(_MATRIX[0] // _BLOCK, _MATRIX[1] // _BLOCK, generator=random) / 1000 + 1e-4
        save_file({name: codes, f"{name}_scale_inv": scales}, folder / f"layer{index}.safetensors")


def _peak(source: Path, destination: Path, dtype: Dtype) -> float:
    """The most memory a conversion had at any time over what it began with, in MB."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_convert, args=(source, destination, dtype, theirs))
    process.start()
    # The child's end, so that it closes with the child.
    theirs.close()
    ours.recv()
    most = before = _anonymous(process.pid)
    ours.send(None)
    while not ours.poll(_INTERVAL):
        most = max(most, _anonymous(process.pid))
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the conversion ended with {process.exitcode}")
    return (most - before) / 1000


def _convert(source: Path, destination: Path, dtype: Dtype, parent: Connection) -> None:
    import torch  # noqa: F401 (its memory is not the conversion's)

    parent.send(None)
    parent.recv()
    convert(source, destination, dtype, lambda *_: None)
    parent.send(None)


def _anonymous(pid: int | None) -> float:
    """A process's anonymous memory in kB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0.0)


if __name__ == "__main__":
    main()
