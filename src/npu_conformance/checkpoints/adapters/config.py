"""adapter_config.json: its values, and what of them vLLM refuses or leaves out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from npu_conformance.checkpoints.checkpoint import Finding
from npu_conformance.checkpoints.headers import read_json
from npu_conformance.errors import CheckpointError

FILE = "adapter_config.json"
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM has kernels for (`MaxLoRARanks`, vllm config/lora.py); a smaller adapter runs in the next larger."""
_SHOWN = 60
_MERGE = "merge the adapter into its base model (PEFT's merge_and_unload) and serve that"
_SAVE = "correct it, or save the adapter again by PEFT's save_pretrained"
# Only these are trained from weights that are the base model's own (vllm lora/peft_helper.py, _init_is_supported).
_PLAIN_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
# vLLM replaces a classification model's head, and no other module.
_SAVED_MODULES = ("classifier", "score")

_Rank = Annotated[int, Field(ge=1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class LoraConfig(BaseModel):
    """What is used of an adapter_config.json, by PEFT's names; other keys are not looked at."""

    model_config = ConfigDict(strict=True, frozen=True)

    peft_type: str
    r: _Rank
    lora_alpha: _Number
    target_modules: list[str] | str | None
    rank_pattern: dict[str, _Rank] | None = None
    alpha_pattern: dict[str, _Number] | None = None
    target_parameters: list[str] | None = None
    modules_to_save: list[str] | None = None
    bias: str = "none"
    use_rslora: bool | None = False
    use_dora: bool | None = False
    lora_bias: bool | None = False
    use_qalora: bool | None = False
    fan_in_fan_out: bool | None = False
    init_lora_weights: bool | str | None = True
    alora_invocation_tokens: Any = None
    layer_replication: Any = None
    use_bdlora: Any = None
    base_model_name_or_path: str | None = None

    @property
    def ranks(self) -> set[int]:
        """All ranks that a module may have."""
        return {self.r, *(self.rank_pattern or {}).values()}


def parse_config(folder: Path) -> tuple[LoraConfig | None, list[Finding]]:
    """The config of an adapter's folder, None where it is none of a LoRA; and what is wrong with its values.

    Raises:
        CheckpointError: it is missing or not a JSON object.
    """
    content = read_json(folder / FILE, "the adapter's folder needs it")
    kind = content.get("peft_type")
    if kind != "LORA":
        told = f"is {_shown(kind)}" if "peft_type" in content else "is missing"
        return None, [Finding("error", FILE, f"peft_type {told}; vLLM serves LORA only: {_MERGE}")]
    try:
        config = LoraConfig.model_validate(content)
    except ValidationError as error:
        return None, list(_wrong(error))
    return config, [*_refused(config), *_suspicious(config)]


def lora_options(folder: Path) -> dict[str, Any]:
    """VLLM's engine arguments for serving this one adapter.

    Raises:
        CheckpointError: its adapter_config.json is missing, damaged or not a LoRA's, or asks for what vLLM has not.
    """
    config, findings = parse_config(folder)
    errors = [finding for finding in findings if finding.level == "error"]
    if config is None or errors:
        raise CheckpointError(f"{folder}: {errors[0]}")
    return {"enable_lora": True, "max_lora_rank": served_rank(config), "max_loras": 1}


def served_rank(config: LoraConfig) -> int:
    """The rank that vLLM runs an adapter in: the first that holds its largest one; the largest it has for others."""
    return next((known for known in RANKS if max(config.ranks) <= known), RANKS[-1])


def _wrong(error: ValidationError) -> Iterator[Finding]:
    # Of a value that may be of several types pydantic tells one error a type.
    for key, told in {one["loc"][0]: one for one in error.errors(include_url=False)}.items():
        if told["type"] == "missing":
            yield Finding("error", FILE, f"{key} is missing; vLLM refuses the adapter: {_SAVE}")
            continue
        place = f"[{_shown(told['loc'][1])}]" if key in ("rank_pattern", "alpha_pattern") and told["loc"][1:] else ""
        expected = told["msg"].removeprefix("Input should be ")
        yield Finding("error", FILE, f"{key}{place} is {_shown(told['input'])}, expected {expected}: {_SAVE}")


def _refused(config: LoraConfig) -> Iterator[Finding]:
    """What vLLM does not serve, in the order of its own `validate_legal`."""
    saved = [name for name in config.modules_to_save or () if name not in _SAVED_MODULES]
    init = config.init_lora_weights
    rows = {
        f"modules_to_save names {_shown(', '.join(saved))}, whole modules that vLLM does not replace": saved,
        "use_dora is true, vLLM does not serve DoRA": config.use_dora,
        "lora_bias is true, vLLM adds no biases of adapters": config.lora_bias,
        f"bias is {_shown(config.bias)}, vLLM adds no biases of adapters": config.bias != "none",
        "alora_invocation_tokens are set, vLLM does not serve activated LoRA": config.alora_invocation_tokens,
        "layer_replication is set, vLLM does not repeat layers": config.layer_replication,
        "use_bdlora is set, vLLM does not serve block-diagonal LoRA": config.use_bdlora,
        "use_qalora is true, vLLM does not serve QALoRA": config.use_qalora,
    }
    for what, there in rows.items():
        if there:
            yield Finding("error", FILE, f"{what}: {_MERGE}")
    if isinstance(init, str) and init.lower() not in _PLAIN_INITS:
        yield Finding(
            "error",
            FILE,
            f"init_lora_weights is {_shown(init)}, which changes the base model's weights before training, and vLLM "
            "does not: save it as a plain LoRA by PEFT's path_initial_model_for_weight_conversion",
        )
    if max(config.ranks) > RANKS[-1]:
        which = "r" if config.r == max(config.ranks) else "a rank of rank_pattern"
        yield Finding("error", FILE, f"{which} is {max(config.ranks)}, vLLM serves ranks up to {RANKS[-1]}: {_MERGE}")


def _suspicious(config: LoraConfig) -> Iterator[Finding]:
    alphas = [config.lora_alpha, *(config.alpha_pattern or {}).values()]
    if not any(alphas):
        yield Finding("error", FILE, f"lora_alpha is 0, so that the adapter changes nothing: {_SAVE}")
    elif min(alphas) < 0:
        yield Finding("warning", FILE, f"lora_alpha is {min(alphas):g}, which subtracts what was learnt: {_SAVE}")
    if config.rank_pattern or config.alpha_pattern:
        yield Finding(
            "note",
            FILE,
            "it has rank_pattern or alpha_pattern, which vLLM 0.32 reads; a release without them scales all modules by "
            "lora_alpha / r, and adapter_effect fails",
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
