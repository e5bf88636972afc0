"""The engines that may be the candidate, and what each can do: a folder each in `engines/`, and no other word of one.

A folder has `ENGINE` in its `__init__.py`, an `Engine`, and `run(job, progress)` in its `engine.py`.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

RowKind = Literal["full", "topk"]
"""What there is of a position: the logits of the whole vocabulary, or its likeliest words."""
DEFAULT = "vllm"
"""The candidate where nobody names another."""
_FOLDER = Path(__file__).resolve().parents[1] / "engines"


@dataclass(frozen=True)
class Engine:
    """What an engine can do; what it cannot is not applicable, skipped or refused with its reason."""

    rows: RowKind
    """What it gives of a position, and so what its traces hold."""
    serve_options: bool
    """Whether it takes vLLM's options, so that variants are something else than base."""
    forced_decode: bool
    """Whether it can be made to take given tokens, as a baseline's."""
    kv_cache: bool
    """Whether it takes the memory of its KV cache before it is asked anything."""
    floor_arithmetic: bool
    """Whether it computes as the floor runs do, so that the one with its attention is itself."""
    timed: bool
    """Whether its clock runs over the batched prompts alone, so that its speed says something."""
    remote: bool = False
    """Whether it is a server that runs already, so that it needs an address, and no device of this machine."""


@cache
def engine_names() -> tuple[str, ...]:
    """All of them, as `--candidate` names them."""
    return tuple(sorted(path.parent.name for path in _FOLDER.glob("*/engine.py")))


@cache
def engine(name: str) -> Engine:
    """What an engine can do; of an unknown one, as an older report may have, as of the default."""
    found: Engine = import_module(f"npu_conformance.engines.{name if name in engine_names() else DEFAULT}").ENGINE
    return found
