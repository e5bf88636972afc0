"""Chinese for what lines of engines' logs mean (workers/known_warnings.yaml), by name: meaning and remedy."""

import re

from npu_conformance.workers.log import WARNINGS

LOG: dict[str, tuple[str, str]] = {
    "weights skipped": (
        "引擎丢弃了检查点中的部分权重：按其名称在模型中没有对应位置",
        "请将张量名与完好的检查点对照：量化检查点须在 ignore 中列出未量化的模块，且引擎版本须认识其张量命名",
    ),
    "weights made up": (
        "模型有检查点中不存在的权重，引擎用任意值参与计算",
        "请检查 config.json 是否属于该检查点（architectures、tie_word_embeddings、层数），以及是否缺少分片；"
        "`npu-conformance doctor FOLDER` 会逐项核对",
    ),
    "LoRA left out": (
        "引擎忽略了适配器的一部分",
        "请从 target_modules 中去掉该模块并重新训练，或将适配器合并到基础模型后再部署",
    ),
    "LoRA of a merged layer": (
        "vLLM 0.18 对合并层的各部分也会提示忽略其 LoRA；是否真的忽略由 adapter_effect 判断",
        "以检查项 adapter_effect 为准",
    ),
    "LoRA of a tower": (
        "其他模态的编码器与连接层在引擎中不带 LoRA；不影响文本",
        "文本场景无需处理；否则在 serve.engine_args 中设置 enable_tower_connector_lora",
    ),
    "LoRA restricted": (
        "某个模块在该引擎中不带 LoRA；若适配器包含该模块则有影响",
        "以检查项 adapter_effect 为准，并检查模型 YAML 中的 target_modules",
    ),
    "KV scales of 1": (
        "KV 缓存以 FP8 保存，而检查点没有相应的缩放系数",
        "不使用 kv_cache_dtype，或换用经 KV 缓存校准、带缩放系数的检查点",
    ),
    "KV scales left out": (
        "引擎丢弃了检查点中 KV 缓存的缩放系数",
        "不使用 kv_cache_dtype，或换用认识这些名称的引擎版本",
    ),
    "tokenizer's pattern": (
        "分词器文件使用的切分正则已被发布者更正",
        "请重新从发布者处获取 tokenizer.json",
    ),
    "transformers' implementation": (
        "此版本 vLLM 没有该模型的实现，运行的是 transformers 的实现",
        "若部署的应是 vLLM 自身的实现，请换用支持该架构的 vLLM 版本",
    ),
    "loaded as float": (
        "要求 vllm-ascend 使用量化，但检查点文件中没有量化信息",
        "请检查权重是否附带 quant_model_description.json 或 quantization_config",
    ),
    "other quantisation": (
        "YAML 要求的量化方式与检查点文件所述不同",
        "请更正模型 YAML 中的 serve.quantization，或将其删去",
    ),
    "layers not quantised": (
        "vllm-ascend 对 compressed-tensors 检查点的部分层不做量化计算",
        "请核对这些层是否正是其 quantization_config 在 ignore 中列出的层",
    ),
    "no graph mode": (
        "vllm-ascend 没有这种图模式，以 eager 运行",
        "请在模型 YAML 的 serve 中将 compilation_config.cudagraph_mode 设为 PIECEWISE、FULL 或 FULL_DECODE_ONLY",
    ),
    "no Triton": (
        "未安装 Triton-Ascend，vllm-ascend 使用 vLLM 自带的采样代码",
        "若实际部署的机器装有 triton-ascend，请在此安装",
    ),
    "no group of experts": (
        "vllm-ascend 在没有 MC2 通信组的情况下交换专家数据",
        "请检查各 rank 的 HCCL 是否正常，以及是否确需启用专家并行",
    ),
    "operator on the CPU": (
        "torch_npu 没有该算子，改在 CPU 上计算",
        "不影响结果；若过慢，请安装包含该算子的 torch_npu",
    ),
    "double as float": (
        "NPU 没有 float64，引擎要求 float64 处以 float32 计算",
        "无需处理，除非位置编码或采样以 float64 计算",
    ),
    "oneDNN": ("某个线性层在此 CPU 上使用 torch 自带的算子", "不影响结果"),
}

LOG_MESSAGES: tuple[tuple[str, str], ...] = tuple(
    (rf"{re.escape(row.meaning)}: (`.*`); {re.escape(row.remedy)}", rf"{LOG[name][0]}：\1；{LOG[name][1]}")
    for name, row in WARNINGS.items()
    if name in LOG
)
"""The message of a check that fails by such a line, which it quotes."""
