"""What vLLM mixes into its workers for us, all in one class: it takes one extension."""

from npu_conformance.engines.layers import LayerTap
from npu_conformance.engines.prefill import PrefillTap


class Extension(LayerTap, PrefillTap):
    """Hidden states by layer, logits by prefill, and what only a worker knows; called through `collective_rpc`."""

    def lora_layers(self) -> int:
        """Modules of the model that vLLM replaced to apply a LoRA."""
        modules = self.get_model().modules()  # type: ignore[attr-defined]
        return sum(type(module).__name__.endswith("WithLoRA") for module in modules)

    def device_name(self) -> str:
        """What the platform calls this worker's device."""
        from vllm.platforms import current_platform

        return str(current_platform.get_device_name())

    def attention_backend(self) -> str:
        """The backends of the model's layers, as vLLM noted them while building it."""
        config = self.vllm_config.compilation_config  # type: ignore[attr-defined]
        layers = getattr(config, "static_forward_context", {}).values()
        found = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
        return ", ".join(sorted(found)) or "not told"
