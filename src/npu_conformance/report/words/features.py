"""The words of the feature matrix, in English and Chinese."""

STATES: dict[str, tuple[str, str]] = {
    "pass": ("works", "可用"),
    "fail": ("fails", "失败"),
    "inconclusive": ("inconclusive", "样本不足，暂无法判定"),
    "skipped": ("not run", "未测"),
    "not_applicable": ("not applicable", "不适用"),
}
"""By the mark of a cell."""

MATRIX: dict[str, tuple[str, str]] = {
    "evidence": ("Evidence (variant: what it showed)", "证据（变体：结果）"),
    "feature_load": ("Model loads", "模型加载"),
    "feature_loaded": ("{variant}: {what}", "{variant}：{what}"),
    "feature_weights": ("Real weights (not dummy, not a stand-in)", "真实权重（非 dummy、非替代模型）"),
    "feature_real_weights": ("digest {digest}", "摘要 {digest}"),
    "feature_twin_weights": (
        "a twin was loaded: a small stand-in, which says nothing about the model",
        "加载的是小规模替代模型（twin），不代表真实模型",
    ),
    "feature_eager": ("Eager mode", "Eager 推理"),
    "feature_aclgraph": ("ACLGraph", "ACLGraph（图模式）"),
    "feature_other_graph": (
        "only graphs of platform {platform}, which are no ACLGraph: {said}",
        "仅运行了平台 {platform} 的图，并非 ACLGraph：{said}",
    ),
    "feature_chunked_prefill": ("Chunked prefill", "Chunked Prefill"),
    "feature_prefix_caching": ("Prefix caching", "Prefix Caching"),
    "feature_tensor_parallel": ("Tensor parallel (TP)", "张量并行（TP）"),
    "feature_expert_parallel": ("Expert parallel (EP)", "专家并行（EP）"),
    "feature_dense": ("the engine saw no experts", "引擎未见专家层（非 MoE）"),
    "feature_lora": ("LoRA", "LoRA"),
    "feature_spec_decode": ("Speculative decoding", "投机解码（Spec Decode）"),
    "feature_mtp": ("MTP", "MTP"),
    "feature_multimodal": ("Multimodal inputs", "多模态输入"),
    "feature_text_only": ("config.json names a model of text", "config.json 为纯文本模型"),
    "feature_serving": ("Serving (OpenAI API)", "在线服务（OpenAI API）"),
    "feature_max_length": ("Long prompts", "长文本（最大长度）"),
    "feature_checks": ("{count} checks passed", "{count} 项检查通过"),
    "feature_no_variant": ("no variant of this run shows it", "本次运行没有相应的变体"),
}
