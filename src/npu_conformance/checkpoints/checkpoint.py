"""A checkpoint folder as its headers describe it, and what was found wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from npu_conformance.checkpoints.quantisation.place import Announced, find_announced
from npu_conformance.checkpoints.quantisation.schema import Options, read_options
from npu_conformance.checkpoints.tensor import Tensor

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "tiktoken.model",
    "*.tiktoken",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenization_config.json",
)
"""Names and patterns of the files that a tokenizer may be made from."""


EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Keys of a config that count a layer's experts."""
_BESIDE_WEIGHTS = (".qzeros", ".scales", ".g_idx", "_scale", "_scale_inv", "_offset")


@dataclass(frozen=True)
class Finding:
    """Something about a checkpoint that a person should know."""

    level: Literal["error", "suspicion", "warning", "note"]
    """An error keeps engines from starting; a suspicion fails a check, while engines show what comes of it."""
    about: str
    """The file, tensor or key of the config."""
    message: str
    """One line: what was expected, what was found, what to do."""

    def __str__(self) -> str:
        return f"{self.about}: {self.message}"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    """By name."""
    findings: tuple[Finding, ...] = ()
    """What inspection found, errors first."""

    @property
    def text_config(self) -> dict[str, Any]:
        """The language model's part of config.json: `text_config` where there is one."""
        nested = self.config.get("text_config")
        return nested if isinstance(nested, dict) else self.config

    @cached_property
    def announced(self) -> Announced | None:
        """What its config says of its quantisation, and where; None where it says nothing."""
        return find_announced(self.folder, self.config)

    @property
    def quantisation(self) -> dict[str, Any]:
        """The same as a dictionary with a normalised `quant_method`; empty where there is none."""
        return {} if self.announced is None else self.announced.options

    @cached_property
    def options(self) -> Options | None:
        """The same by its format's schema; None where there is none, or something is wrong with it."""
        return read_options(self.quantisation)[0]

    @property
    def experts(self) -> int:
        """Experts a layer has, at most; 0 for a dense model."""
        return max(greatest(self.text_config.get(key)) for key in EXPERTS)

    @property
    def parameters(self) -> int:
        """Number of weights; codes packed into words count one by one, scales and zero points not at all."""
        bits = getattr(self.options, "bits", 32)
        return sum(
            tensor.size * 32 // bits if name.endswith(".qweight") else tensor.size
            for name, tensor in self.tensors.items()
            if not name.endswith(_BESIDE_WEIGHTS)
        )

    @property
    def files(self) -> list[Path]:
        """The weights' files."""
        return sorted({tensor.file for tensor in self.tensors.values()})


def greatest(size: Any) -> int:
    """A size of config.json that may be null, one for all layers, or one for each."""
    return max(map(int, size), default=0) if isinstance(size, list) else int(size or 0)


def some(names: Iterable[str], shown: int = 1) -> str:
    """The first of several names, and how many more there are: `a (and 2 more)`."""
    listed = list(names)
    more = f" (and {len(listed) - shown} more)" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def weight_bytes(checkpoint: Checkpoint) -> int:
    """Size of the weights' files in bytes."""
    return sum(file.stat().st_size for file in checkpoint.files)
