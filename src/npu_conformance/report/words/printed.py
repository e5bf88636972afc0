"""Chinese for what transcripts of published reports note in English, and for the names of what is printed there."""

PRINTED: dict[str, str] = {
    # Notes
    "prints no title or author: the title is its stated goal; run on 2026-05-18 11:08:18": (
        "未给出标题和作者：此处标题为其所述目标；运行于 2026-05-18 11:08:18"
    ),
    "printed as 48/48 for each of two prompts, against the CPU in bfloat16": (
        "两条提示词各写为 48/48，与 bfloat16 的 CPU 比较"
    ),
    "n: tokens of four prompts, one after another; elsewhere printed as ~71": (
        "n 为四条提示词依次生成的 token 数；另一处写为 ~71"
    ),
    "the CPU's; printed as 75 times slower": "CPU 的数值；原文为慢 75 倍",
    "printed as 75x": "原文为 75x",
    "0.8 s against 50.7 s": "0.8 秒对 50.7 秒",
    "the summary counts five prompts, the report shows four": "汇总处为五条提示词，报告中只有四条",
    "bfloat16; 3.0375 in the log, ~3.0 in another table": "bfloat16；日志为 3.0375，另一表格为 ~3.0",
    "model load; said to contain torch.compile, ~15.2 s, and loading weights, ~1.15 s": (
        "模型加载；据称包括 torch.compile（~15.2 秒）和权重加载（~1.15 秒）"
    ),
    "in the log": "取自日志",
    "in the second list, with profiling, KV cache and warm-up": "取自第二个列表，含 profile、KV 缓存与预热",
    "with warm-up, in the log; ~15.2 in a table": "含预热，取自日志；表格中为 ~15.2",
    "in the second list": "取自第二个列表",
    "n: tokens of four prompts; elsewhere printed as 14.0": "n 为四条提示词的 token 数；另一处写为 14.0",
    "the CPU's": "CPU 的数值",
    "printed as ~1.6B": "原文为 ~1.6B",
    "pytorch_model.bin, bfloat16; elsewhere ~3.2 GB": "pytorch_model.bin，bfloat16；另一处为 ~3.2 GB",
    "printed in a log and, without its first line, in a table": "见于日志；表格中缺首行",
    "printed in a log and, shortened, in a table": "见于日志；表格中有删节",
    "printed in a log and, described, in a table": "见于日志；表格中仅为描述",
    "the comparison with the CPU": "与 CPU 的比较",
    "prints no publisher, address or date; cites the Qwen3 Technical Report, arXiv 2505.09388": (
        "未给出发布者、网址和日期；引用了 Qwen3 技术报告（arXiv 2505.09388）"
    ),
    "first tokens": "首 token",
    "printed as ChatGPT-style Cosine Similarity, of what is not said": (
        "原文为 ChatGPT-style Cosine Similarity，未说明对象"
    ),
    "of what is not said": "未说明对象",
    "of the hidden state's norm": "隐状态范数",
    "layer 1 over layer 0": "第 1 层与第 0 层之比",
    "printed as 0.000000, within FP16's precision": "原文为 0.000000，在 FP16 精度之内",
    "printed as 0.000000": "原文为 0.000000",
    "of one weight, which is not said; as are the next five": "取自某一个权重，未说明是哪个；以下五项相同",
    "prints no date; the model is said to come from https://ai.gitcode.com/hf_mirrors/Qwen/Qwen3-4B-FP8": (
        "未给出日期；据称模型来自 https://ai.gitcode.com/hf_mirrors/Qwen/Qwen3-4B-FP8"
    ),
    "printed for the derivatives prompt and as the throughput; 128 tokens in the printed 2.21 s are 57.9": (
        "既作为导数提示词的结果又作为吞吐；按所写 2.21 秒 128 个 token 计应为 57.9"
    ),
    "FP8 to BF16; the report does not say of what, nor how it was measured": (
        "FP8 转 BF16；报告未说明对象和测量方法"
    ),
    "weight_scale_inv, said to be from FP8 to BF16": "weight_scale_inv，据称为 FP8 转 BF16",
    "FP8 × BF16 to BF16": "FP8 × BF16 得 BF16",
    "printed as ±448 (2^7 - 1) × 2^-6": "原文为 ±448 (2^7 - 1) × 2^-6",
    "printed twice, with outputs that begin differently; tokens and seconds are of the first": (
        "原文出现两次，输出的开头不同；token 数与耗时取自第一次"
    ),
    "no output printed, only: 正常的 Python 代码实现": "未给出输出，仅写：正常的 Python 代码实现",
    "the citation prints the year 2026, the adaptation date is printed as 2026-05-20": (
        "引用处写 2026 年，适配日期写为 2026-05-20"
    ),
    'printed as Top-1 prediction agreement, "verified by experience" (经验验证)': (
        "原文为 Top-1 预测一致率，“经验验证”"
    ),
    'printed as Top-5 prediction agreement, "verified by experience" (经验验证), without a definition': (
        "原文为 Top-5 预测一致率，“经验验证”，未给出定义"
    ),
    "the report does not say of which positions, nor whether mean or least": (
        "报告未说明取自哪些位置，也未说明是均值还是最小值"
    ),
    "the report does not say of which positions, nor whether mean or greatest": (
        "报告未说明取自哪些位置，也未说明是均值还是最大值"
    ),
    "the two outputs printed for the water and the planet prompt differ": (
        "水和行星两条提示词各自给出的两次输出不同"
    ),
    "theoretical": "理论值",
    "of a single operation, theoretical": "单次运算，理论值",
    "over 32 layers, theoretical": "32 层累积，理论值",
    "an input as short as this may exceed the next ratio": "如此短的输入可能超出下一项比值",
    "matches: of two runs with each other": "匹配数：两次运行相互比较",
    "matches: of two runs with each other; the two printed outputs differ; called right for its first token": (
        "匹配数：两次运行相互比较；所给两次输出不同；因首 token 而称正确"
    ),
    "matches: of two runs with each other; called right for its first token": (
        "匹配数：两次运行相互比较；因首 token 而称正确"
    ),
    "printed as 1.30%": "原文为 1.30%",
    "the report does not say of which from which": "报告未说明由何者相对何者计算",
    "per element, theoretical; said to be a part of the relative error": "逐元素，理论值；据称为相对误差的一部分",
    "said to be a part of the relative error": "据称为相对误差的一部分",
    "over 36 layers; said to be a part of the relative error": "36 层累积；据称为相对误差的一部分",
    "printed as 297k": "原文为 297k",
    "2 prompts": "2 条提示词",
    "35 graphs": "35 个图",
    "printed as ~3.9B": "原文为 ~3.9B",
    "printed shortened": "原文有删节",
    # Names of what is printed of hardware, versions and settings
    "candidate, measured": "被测，实测",
    "HBM used": "HBM 占用",
    "AICore used": "AICore 占用",
    "temperature": "温度",
    "driver": "驱动",
    "CPU architecture": "CPU 架构",
    "base model": "基础模型",
    "architecture": "架构",
    "weight format": "权重格式",
    "attention": "注意力",
    "decoding": "解码方式",
    "reference decoding": "参考的解码方式",
    "serve": "部署选项",
    "graph capture": "图捕获",
    "script's other sampling": "脚本中的其他采样参数",
    "candidate, speed": "被测，测速",
    "quantisation": "量化",
    "dequantisation": "反量化",
    "speed measured with": "测速条件",
    "examples": "示例",
    "needed": "所需硬件",
    "dtype after adaptation": "适配后的 dtype",
    "serve, one device": "部署选项，单卡",
    "serve, TP=4": "部署选项，TP=4",
    "throughput measured with": "测吞吐的条件",
    "candidate, at the end of the report": "被测，见报告末尾",
    "vLLM-Ascend, needed": "所需 vLLM-Ascend",
    "CANN, needed": "所需 CANN",
    "vLLM-Ascend, first to support the model": "最早支持该模型的 vLLM-Ascend",
    "image": "镜像",
    "candidate dtype": "被测 dtype",
    "reference dtype": "参考 dtype",
    "candidate framework": "被测框架",
    "reference framework": "参考框架",
    "adapter": "适配器",
    "patches": "补丁",
    "serve environment": "部署环境变量",
    "example request": "请求示例",
    "compared": "比较对象",
    "sample": "样本",
    "metrics": "指标",
    "position encoding": "位置编码",
    "weight tying": "词嵌入共享",
    "offline example": "离线示例",
}  # fmt: skip

CHECKPOINT: dict[str, tuple[str, str]] = {
    "weight_size": ("Weight size", "权重大小"),
    "reconstruction_error_max": ("Reconstruction error, max", "重建误差最大值"),
    "reconstruction_error_mean": ("Reconstruction error, mean", "重建误差均值"),
    "reconstruction_atol": ("Reconstruction, absolute tolerance", "重建的绝对容差"),
    "reconstruction_rtol": ("Reconstruction, relative tolerance", "重建的相对容差"),
    "qweight_int8": ("Codes (qweight_int8)", "量化值（qweight_int8）"),
    "scale": ("Scale", "scale"),
    "scale_mean": ("Scale, mean", "scale 均值"),
    "group_size": ("Group size", "分组大小"),
    "weight_rows": ("Weight, rows", "权重行数"),
    "weight_columns": ("Weight, columns", "权重列数"),
    "weight_mean": ("Weight, mean", "权重均值"),
    "weight_std": ("Weight, standard deviation", "权重标准差"),
    "weight": ("Weight, range", "权重范围"),
    "operator_norm": ("Operator norm", "算子范数"),
    "weight_tensors": ("Tensors", "张量数"),
    "weight_tensors_linear": ("Tensors of linear layers", "线性层张量数"),
    "weight_tensors_norm": ("Tensors of norms", "norm 张量数"),
    "config_size": ("Size of config.json", "config.json 大小"),
    "tokenizer_size": ("Size of the tokenizer", "分词器大小"),
    "max_model_len": ("Longest request", "最大请求长度"),
    "precision_loss": ("Loss of precision", "精度损失"),
    "precision_loss_of_scales": ("Loss of precision of scales", "scale 的精度损失"),
    "precision_loss_of_products": ("Loss of precision of products", "乘积的精度损失"),
    "fp8_exponent": ("Exponent of FP8", "FP8 指数位"),
    "fp8_mantissa": ("Mantissa of FP8", "FP8 尾数位"),
    "bf16_exponent": ("Exponent of BF16", "BF16 指数位"),
    "bf16_mantissa": ("Mantissa of BF16", "BF16 尾数位"),
    "fp8_range": ("Range of FP8", "FP8 范围"),
    "bf16_range": ("Range of BF16", "BF16 范围"),
    "main_weights_size": ("Size of the main weights", "主权重大小"),
    "lm_head_size": ("Size of lm_head", "lm_head 大小"),
    "base_model_size": ("Size of the base model", "基础模型大小"),
    "adapter_size": ("Size of the adapter", "适配器大小"),
    "adapter_rank": ("Rank of the adapter", "适配器的秩"),
}
"""English and Chinese for what is printed of a checkpoint, by its key."""
