"""What faults are, in English and Chinese, by their kind. Braces: the strength, in percent off (`off`) or as it is."""

from npu_conformance.report.words.languages import Language

FAULTS: dict[str, tuple[str, str]] = {
    "rotary_theta": ("a rotary base off by {off}", "旋转位置编码的 base 偏差 {off}"),
    "query_positions": ("queries rotated by {s} positions more than keys", "query 的位置编码比 key 多转 {s} 个位置"),
    "attention_scale": ("attention scores off by {off}", "注意力分数偏差 {off}"),
    "attention_softcap": ("attention scores soft-capped at {s}", "注意力分数被 soft-cap 限制在 {s}"),
    "attention_window": ("tokens further back than {s} not attended to", "超过 {s} 个 token 之前的内容未被关注"),
    "heads_mapped_wrongly": (
        "query heads of one layer on the next group's keys",
        "某层的 query 头对应到下一组的 KV 头",
    ),
    "head_lost": ("one head of one layer lost", "某层的一个注意力头丢失"),
    "head_scaled": ("one head of one layer off by {off}", "某层的一个注意力头偏差 {off}"),
    "layer_value_bits": ("one layer's values in {s} bits", "某层的 value 仅 {s} bit"),
    "layer_key_bits": ("one layer's keys in {s} bits", "某层的 key 仅 {s} bit"),
    "cache_bits": ("a KV cache of {s} bits", "KV 缓存仅 {s} bit"),
    "cache_slot_lost": ("one slot of every KV block written as zeros", "每个 KV 块有一个槽位被写为零"),
    "cache_stale": ("every fourth decoded token written with stale keys", "每第四个 decode token 写入了上一步的 KV"),
    "norm_lost": ("one layer's input not normalised", "某层的输入未做归一化"),
    "norms_exchanged": ("one layer's two norms exchanged", "某层的两个 norm 权重互换"),
    "norm_epsilon": ("a norm epsilon of {s}", "norm 的 epsilon 为 {s}"),
    "layer_skipped": ("one layer skipped", "跳过一层"),
    "layers_exchanged": ("two layers exchanged", "两层互换"),
    "layer_scaled": ("one layer's MLP off by {off}", "某层的 MLP 输出偏差 {off}"),
    "noise": ("noise of {share} in one layer's MLP", "某层的 MLP 输出有 {share} 的随机噪声"),
    "clipping": ("one layer's MLP clipped at {s} times its rms", "某层的 MLP 输出在均方根的 {s} 倍处截断"),
    "activation": ("GELU for SiLU in one layer", "某层的激活函数用 GELU 代替 SiLU"),
    "embedding_scale": ("embeddings off by {off}", "词嵌入偏差 {off}"),
    "shard_scaled": ("half of the heads of one layer off by {off}", "某层一半的注意力头偏差 {off}"),
    "first_token": ("another first token in every prompt", "每条提示词的首个 token 错误"),
    "tokens_exchanged": ("one in {s} tokens read as the next one", "每 {s} 个 token 有一个被读成下一个"),
    "decode_only": ("one layer's MLP off by {off} in decode only", "某层的 MLP 仅在 decode 时偏差 {off}"),
    "first_step_only": (
        "one layer's MLP off by {off} in the first decode step",
        "某层的 MLP 在首个 decode 步偏差 {off}",
    ),
    "prefill_only": ("the last MLP off by {off} in prefill only", "末层 MLP 仅在 prefill 时偏差 {off}"),
    "one_step": ("the last MLP off by {off} at one token", "末层 MLP 在单个 token 处偏差 {off}"),
    "later_steps": ("the last MLP off by {off} from the tenth token on", "末层 MLP 自第十个 token 起偏差 {off}"),
    "rows_mixed": ("{share} of another row of the batch mixed in", "混入批次中另一行的 {share}"),
    "head_bits": ("the head's input in {s} bits", "lm_head 的输入仅 {s} bit"),
    "head_shard": ("a quarter of the logits off by {off}", "四分之一词表的 logit 偏差 {off}"),
    "head_word": ("one word's logit larger by {share} of the rms", "某个词的 logit 偏大均方根的 {share}"),
    "one_logit": (
        "one logit larger by {share} of the rms, at one token",
        "单个 token 处某个 logit 偏大均方根的 {share}",
    ),
    "close_calls": (
        "the two largest logits exchanged where within {share} of the rms",
        "最大的两个 logit 相差在均方根的 {share} 以内时互换",
    ),
    "logits_scaled": ("all logits off by {off}", "全部 logit 偏差 {off}"),
    "logits_softcap": ("logits soft-capped at {s}", "logit 被 soft-cap 限制在 {s}"),
    "weight_bits": ("all linear weights in {s} bits", "全部线性层权重仅 {s} bit"),
    "weight_fp8": ("all linear weights in FP8", "全部线性层权重为 FP8"),
    "layer_weight_bits": ("one layer's weights in {s} bits", "某层的权重仅 {s} bit"),
    "layer_weight_fp8": ("one layer's weights in FP8", "某层的权重为 FP8"),
    "lora_scale": ("a LoRA off by {off}", "LoRA 的贡献偏差 {off}"),
    "state_decay": ("a recurrent state whose decay is off by {off}", "循环状态的衰减偏差 {off}"),
    "experts_exchanged": ("two experts of one layer exchanged", "某层的两个专家互换"),
    "expert_scale": ("one expert off by {off}", "一个专家的输出偏差 {off}"),
    "expert_left_out": ("one expert less a token", "每个 token 少用一个专家"),
    "expert_capacity": (
        "experts that drop tokens beyond {s} times their share",
        "专家丢弃超出均匀份额 {s} 倍的 token",
    ),
    "expert_weights_normalised": ("experts' weights normalised wrongly", "专家权重的归一化方式错误"),
    "router_bits": ("routers in {s} bits", "路由仅 {s} bit"),
    "shared_expert_lost": ("one layer's shared expert lost", "某层的共享专家丢失"),
}


def fault(language: Language, kind: str, strength: float) -> str:
    """A kind of fault at a strength, in words; the kind itself where there are none."""
    if kind not in FAULTS:
        return f"{kind} {strength:g}"
    off, share = f"{100 * (strength - 1):.3g} %", f"{100 * strength:.3g} %"
    return FAULTS[kind][language == "zh"].format(off=off, share=share, s=f"{strength:g}")
