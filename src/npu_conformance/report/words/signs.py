"""The words of what was seen of a variant in its engine's run, in English and Chinese."""

SIGNS: dict[str, tuple[str, str]] = {
    "sign_cached_tokens": ("seen: prompt tokens found in the KV cache", "观测：命中 KV 缓存的提示词 token 数"),
    "sign_prefills_of_a_prompt": (
        "seen: steps in which one prompt was read, at most",
        "观测：单条提示词 prefill 的最多步数",
    ),
    "sign_preemptions": ("seen: requests preempted", "观测：被抢占的请求数"),
    "sign_graph": ("seen: graphs or compilation on", "观测：是否启用图或编译"),
    "sign_experts": ("seen: experts of the model", "观测：模型的专家数"),
    "sign_drafts": ("seen: drafted tokens", "观测：草稿 token 数"),
    "sign_lora_layers": ("seen: modules that apply a LoRA", "观测：应用 LoRA 的模块数"),
    "sign_plain_weights_in_nz": ("seen: plain weights in NZ layout", "观测：采用 NZ 布局的未量化权重数"),
    "sign_flashcomm1_layers": ("seen: layers with FlashComm1", "观测：启用 FlashComm1 的层数"),
    "sign_flashcomm2_layers": ("seen: layers with FlashComm2", "观测：启用 FlashComm2 的层数"),
    "sign_matmul_allreduce_layers": (
        "seen: layers with matmul and all-reduce fused",
        "观测：融合 all-reduce 的层数",
    ),
    "sign_batch_invariant_operators": (
        "seen: batch-invariant operators in place",
        "观测：是否替换为与批次无关的算子",
    ),
    "sign_xlite_worker": ("seen: xlite's worker", "观测：是否使用 xlite 的 worker"),
}
