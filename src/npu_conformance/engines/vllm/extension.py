"""What vLLM mixes into its workers for us, all in one class: it takes one extension."""

from typing import Any, cast

from npu_conformance.engines.modules import of_vllm
from npu_conformance.engines.vllm.ascend import ascend_config, ascend_signs
from npu_conformance.engines.vllm.layers import LayerHook
from npu_conformance.engines.vllm.module_states import ModuleHook
from npu_conformance.engines.vllm.prefill import PrefillHook
from npu_conformance.engines.vllm.versions import ATTENTION_LAYERS, effective, is_lora_layer, read
from npu_conformance.traces.trace import ModuleValue


class Extension(LayerHook, ModuleHook, PrefillHook):
    """Hidden states by layer, logits by prefill, and what only a worker knows; called through `collective_rpc`."""

    def lora_layers(self) -> int:
        """Modules of the model that vLLM replaced to apply a LoRA."""
        modules = self.get_model().modules()  # type: ignore[attr-defined]
        return sum(map(is_lora_layer, modules))

    def vllm_ascend_config(self) -> dict[str, Any]:
        """VLLM-Ascend's own config; empty without it."""
        return ascend_config()

    def vllm_ascend_signs(self) -> dict[str, int]:
        """What shows that switches of vLLM-Ascend's took effect; empty without it."""
        return ascend_signs(self)

    def made_with(self) -> list[ModuleValue]:
        """What the modules of this rank's model were made with."""
        ranks = self.vllm_config.parallel_config.tensor_parallel_size  # type: ignore[attr-defined]
        return of_vllm(self.get_model(), ranks)  # type: ignore[attr-defined]

    def device_name(self) -> str:
        """What the platform calls this worker's device."""
        from vllm.platforms import current_platform

        return str(current_platform.get_device_name())

    def attention_backend(self) -> str:
        """The backends of the model's layers, as vLLM noted them while building it."""
        config = self.vllm_config.compilation_config  # type: ignore[attr-defined]
        layers = read(config, ATTENTION_LAYERS).values()
        found = {layer.get_attn_backend().get_name() for layer in layers if hasattr(layer, "get_attn_backend")}
        return ", ".join(sorted(found)) or "not told"

    def cudagraph_mode(self) -> str | None:
        """The graph mode of this worker's own config, which its model runner may have changed."""
        return cast("str | None", effective(self.vllm_config)["cudagraph_mode"])  # type: ignore[attr-defined]
