"""What a model's files say of it that a model config depends on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from npu_conformance.checkpoints.headers import read_json, shown
from npu_conformance.checkpoints.modelslim import is_modelslim, schemes
from npu_conformance.commands.onboard.derivable import why_not
from npu_conformance.config.limits import Dtype
from npu_conformance.errors import CheckpointError, ConfigError
from npu_conformance.twins.derived import stored_format

SMALL_FILES = (
    "config.json",
    "adapter_config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""That a derived twin is made from, or that say how the model is asked."""
TOKENIZER_FILES = ("tokenizer_config.json", "chat_template.jinja")
"""Those of them that are about the tokenizer."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
_LINEAR = ("linear", "mamba", "rwkv", "ssm")
# More experts, or positions, than any model has.
_LARGEST = 2**32
# Keys of models that do not list the kinds of their layers (Jamba, Bamba, Falcon-H1, Nemotron-H).
_OF_STATES = ("linear_num_value_heads", "mamba_", "ssm_")


@dataclass(frozen=True)
class Facts:
    """Of a model."""

    model: str
    """`organisation/name`."""
    adapter: str | None
    """The same of its LoRA."""
    folder: Path
    """Of its files."""
    adapter_folder: Path | None
    config: Mapping[str, Any]
    generation: Mapping[str, Any]
    dtype: Dtype
    method: str | None
    """Of its quantisation."""
    scheme: Literal["w8a8", "w4a8"] | None
    """Of a checkpoint of ModelSlim."""
    tokenizer: bool
    template: str | None
    no_twin: str | None
    """Why no twin can be derived."""

    @property
    def text(self) -> Mapping[str, Any]:
        """The part of config.json that is about text."""
        own = self.config.get("text_config")
        return own if isinstance(own, Mapping) else self.config

    @property
    def experts(self) -> int:
        """In each mixture; 0 for a dense model."""
        names = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts")
        return next((count for name in names if (count := _count(self.text.get(name))) is not None), 0)

    @property
    def linear_attention(self) -> bool:
        """Whether a layer carries a state from token to token."""
        listed = self.text.get("layer_types")
        kinds = listed if isinstance(listed, list) else []
        told = " ".join((*map(str, kinds), self.config["model_type"])).lower()
        unlisted = not kinds and any(key.startswith(_OF_STATES) for key in self.text)
        return unlisted or any(one in told for one in _LINEAR)

    @property
    def window(self) -> int | None:
        """Positions that a layer with a sliding window sees; None where none has one."""
        if self.text.get("use_sliding_window") is False:
            return None
        return _count(self.text.get("sliding_window"))

    @property
    def longest(self) -> int | None:
        """Positions that the model has; None where config.json names none."""
        return _count(self.text.get("max_position_embeddings"))


def read_facts(path: Path, name: str | None, base: Path | None) -> Facts:
    """Read a model's small files.

    Args:
        path: its folder, its config.json, or the folder of a LoRA.
        name: `organisation/name`; by its path where None.
        base: folder of the model that a LoRA is for.

    Raises:
        CheckpointError: a file cannot be read; one line.
        ConfigError: it is no model's, or of a LoRA whose model is not given.
    """
    folder = path.parent if path.name == "config.json" else path
    adapter = folder if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file() else None
    if adapter is not None:
        about = read_json(adapter / "adapter_config.json", "it says which model the LoRA is for")
        if base is None:
            named = about.get("base_model_name_or_path")
            wanted = shown(named) if isinstance(named, str) and named else "a model that it does not name"
            raise ConfigError(f"{adapter}: is a LoRA of {wanted}: give that model's folder too, by --base DIR")
        folder = base.parent if base.name == "config.json" else base
    config = read_json(folder / "config.json", "what a model is stands in it")
    if not isinstance(config.get("model_type"), str):
        raise CheckpointError(f"{folder / 'config.json'}: model_type: missing; it says which class the model is of")
    tokens = _optional(folder / "tokenizer_config.json")
    return Facts(
        model=hub_id(folder) if adapter is not None or name is None else name,
        adapter=None if adapter is None else name or hub_id(adapter),
        folder=folder,
        adapter_folder=adapter,
        config=config,
        generation=_optional(folder / "generation_config.json"),
        dtype=_dtype(config),
        method=_method(config, folder),
        scheme=_scheme(folder),
        tokenizer=_has_tokenizer(folder),
        template=_template(folder, tokens),
        no_twin=_of_quantised(config) if adapter is not None and stored_format(config) else why_not(config),
    )


def whole_tokenizer(folder: Path) -> bool:
    """Whether a folder has all of a tokenizer: training often leaves its settings alone beside a LoRA."""
    return _has_tokenizer(folder) and (folder / "tokenizer_config.json").is_file()


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / one).is_file() for one in _TOKENIZERS)


def _of_quantised(config: Mapping[str, Any]) -> str:
    method = config["quantization_config"]["quant_method"]
    return f"is quantised ({shown(method)}), and a LoRA is trained on plain weights only: no twin can be derived"


def hub_id(folder: Path) -> str:
    """`organisation/name` by a folder's place: a hub's cache, or the last two folders."""
    for part in folder.resolve().parts:
        if part.startswith("models--") and part.count("--") >= 2:
            _, organisation, name = part.split("--", 2)
            return f"{organisation}/{name}"
    parts = [part.replace("___", ".") for part in folder.resolve().parts[-2:]]
    return "/".join(parts) if len(parts) == 2 else f"local/{parts[-1]}"


def _count(value: Any) -> int | None:
    """A size that a model can have; None of anything else that a file may say."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST else None


def _optional(path: Path) -> Mapping[str, Any]:
    return read_json(path, "") if path.is_file() else {}


def _dtype(config: Mapping[str, Any]) -> Dtype:
    text = config.get("text_config")
    places = (config, text if isinstance(text, Mapping) else {})
    named = [str(place.get(key)).removeprefix("torch.") for place in places for key in ("dtype", "torch_dtype")]
    known: list[Dtype] = [one for one in get_args(Dtype) if one in named]
    return known[0] if known else "bfloat16"


def _method(config: Mapping[str, Any], folder: Path) -> str | None:
    if is_modelslim(folder):
        return "ascend"
    about = config.get("quantization_config")
    method = about.get("quant_method") if isinstance(about, Mapping) else None
    return method if isinstance(method, str) else None


def _scheme(folder: Path) -> Literal["w8a8", "w4a8"] | None:
    if not is_modelslim(folder):
        return None
    return "w4a8" if any(one.startswith("W4") for one in schemes(folder)) else "w8a8"


def _template(folder: Path, tokens: Mapping[str, Any]) -> str | None:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8", errors="replace")
    own = tokens.get("chat_template")
    return own if isinstance(own, str) or own is None else json.dumps(own)
