"""What a switch of the catalogue asks of a model, and of how it is served, before it can act."""

from collections.abc import Callable
from dataclasses import dataclass

from npu_conformance.checkpoints.checkpoint import Checkpoint
from npu_conformance.config.model import ModelConfig
from npu_conformance.config.variants import Known, Requirement

# Those of vllm_ascend/xlite/xlite.py in 0.18.0, 0.23.0 and 0.26.0rc1.
_XLITE = {
    "LlamaForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3VLForConditionalGeneration",
    "Qwen3MoeForCausalLM",
}


@dataclass(frozen=True)
class _Served:
    """A model as its base is served."""

    config: ModelConfig
    checkpoint: Checkpoint

    @property
    def ranks(self) -> int:
        """Ranks that share a layer."""
        return int(self.config.options("base").get("tensor_parallel_size", 1))

    @property
    def quantised(self) -> bool:
        """Whether the engine computes with quantised weights."""
        published = self.config.convert is None and bool(self.checkpoint.quantisation)
        return published or self.config.scheme is not None or self.config.serve.quantization is not None

    @property
    def spare_ranks(self) -> bool:
        """Whether two ranks can share a KV head (vLLM's `ModelConfig.verify_with_parallel_config`)."""
        text = self.checkpoint.text_config
        if text.get("kv_lora_rank"):
            return self.ranks % 2 == 0
        heads = int(text.get("num_attention_heads") or 1)
        shared = int(text.get("num_key_value_heads") or heads)
        return self.ranks // shared >= 2 and heads // shared % 2 == 0


_MEETS: dict[Requirement, Callable[[_Served], bool]] = {
    "experts": lambda model: model.checkpoint.experts > 0,
    # Without experts there is nothing to distribute.
    "expert_parallel": lambda model: (
        not model.checkpoint.experts or bool(model.config.options("base").get("enable_expert_parallel"))
    ),
    "sharded": lambda model: model.ranks > 1,
    "spare_ranks": lambda model: model.spare_ranks,
    "plain": lambda model: not model.quantised,
    "quantised": lambda model: model.quantised,
    "sparse_attention": lambda model: "index_topk" in model.checkpoint.text_config,
    "xlite": lambda model: bool(_XLITE & set(model.checkpoint.config.get("architectures") or ())),
}


def unmet(known: Known, config: ModelConfig, checkpoint: Callable[[], Checkpoint | None]) -> str | None:
    """What a model lacks for a variant, in words; None where it has all, or its config is not there yet.

    Args:
        known: the variant.
        config: of the model.
        checkpoint: the config of its weights; asked only where it matters.
    """
    found = checkpoint() if known.requires else None
    if found is None:
        return None
    model = _Served(config, found)
    return next((why for requirement, why in known.requires.items() if not _MEETS[requirement](model)), None)
