"""Labels of what a report shows layer by layer, in English and Chinese."""

LAYERS: dict[str, tuple[str, str]] = {
    "growth": ("Growth", "增长"),
    "layer_cosine": ("Cosine, least", "余弦（最小）"),
    "explodes": ("explodes", "爆炸增长"),
    "not finite": ("not finite", "NaN/Inf"),
    "note_layers": (
        "Hidden states of the residual stream at the last token of the first prompts: norms and errors are means over "
        "them, the cosine is the least.",
        "取前若干条提示词末 token 的残差流隐状态；范数与误差为均值，余弦为最小值。",
    ),
    "modules": ("Attention and MLP against their own floor", "attention 与 MLP 对各自的噪声基底"),
    "over_floor": ("Over its floor", "与噪声基底之比"),
    "alike": ("All of its kind", "同类模块共有"),
    "along": ("Along the reference", "沿参考方向"),
    "beyond_floor": ("beyond its floor", "超出噪声基底"),
    "note_modules": (
        "Each attention and MLP, computed again by the reference from what the candidate gave it, so that no error of "
        "an earlier layer is in it. The floor is the reference's module in the candidate's dtype, on the same input.",
        "参考用被测给出的输入重新计算每个 attention 和 MLP，因此不含前面各层的误差。"
        "噪声基底是参考的同一模块在同一输入下以被测精度计算的误差。",
    ),
}
