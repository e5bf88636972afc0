"""What vLLM mixes into its workers for us, all in one class: it takes one extension."""

from typing import cast

from npu_conformance.engines.layers import LayerTap
from npu_conformance.engines.prefill import PrefillTap
from npu_conformance.engines.vllm_versions import ATTENTION_LAYERS, effective, is_lora_layer, read


class Extension(LayerTap, PrefillTap):
    """Hidden states by layer, logits by prefill, and what only a worker knows; called through `collective_rpc`."""

    def lora_layers(self) -> int:
        """Modules of the model that vLLM replaced to apply a LoRA."""
        modules = self.get_model().modules()  # type: ignore[attr-defined]
        return sum(map(is_lora_layer, modules))

    def attention_backend(self) -> str:
        """The backends of the model's layers, as vLLM noted them while building it."""
        config = self.vllm_config.compilation_config  # type: ignore[attr-defined]
        layers = read(config, ATTENTION_LAYERS).values()
        found = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
        return ", ".join(sorted(found)) or "not told"

    def cudagraph_mode(self) -> str | None:
        """The graph mode of this worker's own config, which its model runner may have changed."""
        return cast("str | None", effective(self.vllm_config)["cudagraph_mode"])  # type: ignore[attr-defined]
