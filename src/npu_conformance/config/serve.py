"""The `serve:` section of a model config."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from npu_conformance.config.limits import Dtype
from npu_conformance.config.refused import MOST_RANKS, refuse_corrupting

Ranks = Annotated[int, Field(gt=0, le=MOST_RANKS, strict=True)]
Requests = Annotated[int, Field(gt=0, le=2**20, strict=True)]
Tokens = Annotated[int, Field(gt=0, le=2**24, strict=True)]
_OTHER_NAMES = {"half": "float16", "float": "float32", "double": "float32"}
"""What vLLM and torch call dtypes besides."""


class Section(BaseModel):
    """A section of a model config: frozen, and without keys that are not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Serve(Section):
    """How the model is served: vLLM's engine arguments, by vLLM's names."""

    dtype: Dtype = "bfloat16"
    """Dtype of the candidate's weights and activations."""
    tensor_parallel_size: Ranks = 1
    """Devices the model is sharded over."""
    max_model_len: Tokens | None = None
    """Longest prompt plus answer in tokens; vLLM's own default is the model's maximum."""
    max_num_seqs: Requests | None = None
    """Requests in one batch at most."""
    max_num_batched_tokens: Tokens | None = None
    """Tokens in one engine step at most."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the device's memory the engine may take."""
    enforce_eager: bool | None = None
    """True: no graph capture or compilation. `base` is always eager."""
    enable_prefix_caching: bool | None = None
    """Reuse of the KV cache between requests. Always off in `base`."""
    enable_chunked_prefill: bool | None = None
    """Prompts split over engine steps. Always off in `base`."""
    async_scheduling: bool | None = None
    """Scheduling of a step while the last one runs. Always off in `base`."""
    quantization: str | None = None
    """vLLM's quantisation method, where the checkpoint does not say it."""
    trust_remote_code: bool = False
    """Runs code that comes with the weights. Takes effect only with `--trust-remote-code` as well."""
    compilation_config: dict[str, Any] | None = None
    """vLLM's compilation settings, such as `cudagraph_mode`."""
    additional_config: dict[str, Any] | None = None
    """Platform settings, such as vLLM-Ascend's `weight_nz_mode`."""
    engine_args: dict[str, Any] = {}
    """Any other vLLM engine argument, passed on as it is."""

    @field_validator("dtype", mode="before")
    @classmethod
    def _one_of_three(cls, dtype: Any) -> Any:
        if dtype == "auto":
            raise ValueError("auto: which limits hold depends on it; write the dtype that config.json names")
        if isinstance(dtype, str) and dtype in _OTHER_NAMES:
            raise ValueError(f"expected {', '.join(get_args(Dtype))}, found {dtype!r}; write {_OTHER_NAMES[dtype]}")
        return dtype

    @model_validator(mode="after")
    def _no_secret(self) -> "Serve":
        for name, value in self.engine_args.items():
            if isinstance(value, str) and name.split("_")[-1] in ("token", "key", "password", "secret"):
                raise ValueError(
                    f"engine_args.{name}: a secret in this file would be written into traces and reports; set it in "
                    "the environment, such as HF_TOKEN"
                )
        return self

    @model_validator(mode="after")
    def _no_corrupting_option(self) -> "Serve":
        refuse_corrupting({**self.engine_args, "additional_config": self.additional_config})
        repeated = sorted(set(self.engine_args) & set(Serve.model_fields))
        if repeated:
            raise ValueError(f"engine_args.{repeated[0]}: has a key of its own in serve; set it there")
        return self
