"""Chinese for the sentences that the suite writes in English elsewhere, by their English."""

from npu_conformance.report.words.printed import PRINTED

PHRASES: dict[str, str] = {
    **PRINTED,
    # What variants change (variants/, findings.py)
    "the plainest engine: eager, no prefix caching, no chunking, synchronous": (
        "最朴素的引擎：eager 模式，无前缀缓存，不分块，同步调度"
    ),
    "all that the config's serve section asks for": "配置文件 serve 部分的全部选项",
    "compiled or captured graphs, in the platform's own mode": "编译或捕获的图，采用平台默认模式",
    "graphs captured in mode PIECEWISE": "以 PIECEWISE 模式捕获图",
    "graphs captured in mode FULL": "以 FULL 模式捕获图",
    "graphs captured in mode FULL_DECODE_ONLY": "以 FULL_DECODE_ONLY 模式捕获图",
    "prompts whose prefix is in the KV cache already": "提示词的前缀已在 KV 缓存中",
    "prompts in chunks of 128 tokens": "提示词按 128 个 token 分块",
    "the next step scheduled while the last one runs": "上一步尚在执行时即调度下一步",
    "a KV cache too small for the batch": "KV 缓存容不下整个批次",
    "nothing: another start of base": "无改动：base 再启动一次",
    "sharded over two devices": "双卡张量并行（TP=2）",
    "sharded over four devices": "四卡张量并行（TP=4）",
    "layers in two stages": "各层分为两个流水级",
    "experts distributed over two devices": "专家分布在两个设备上",
    "two replicas": "两个副本",
    "LoRA kernels on, no adapter asked for": "启用 LoRA 算子，但不请求适配器",
    "speculative decoding from n-grams of the prompt": "基于提示词 n-gram 的投机解码",
    "vLLM's server, asked over HTTP": "通过 HTTP 请求的 vLLM 服务器",
    "prompts of more than 1,000 and 4,000 tokens": "超过 1,000 和 4,000 个 token 的提示词",
    "weights in plain layout": "权重采用普通布局",
    "all weights in NZ layout": "全部权重采用 NZ 布局",
    "graphs without npugraph_ex": "图模式，关闭 npugraph_ex",
    "graphs without fused operators": "图模式，关闭融合算子",
    "graphs with kernels compiled for their shapes": "图模式，按形状编译静态算子",
    "graphs with all-reduce and RMSNorm fused": "图模式，融合 all-reduce 与 RMSNorm",
    "graphs with sequence parallelism between the all-reduces": "图模式，在 all-reduce 之间启用序列并行",
    "decode as one graph of openEuler's xlite": "decode 采用 openEuler xlite 整图",
    "the KV cache in NZ layout": "KV 缓存采用 NZ 布局",
    "activations split over ranks between layers": "层间激活值切分到各 rank",
    "attention's output projection on one rank a token": "注意力输出投影按 token 分到各 rank",
    "matmul and all-reduce in one operator": "matmul 与 all-reduce 合为一个算子",
    "prompts split over two devices": "提示词切分到两个设备",
    "the KV cache of a text split over two devices": "一段文本的 KV 缓存切分到两个设备",
    "experts' dispatch, matmuls and combine in one operator (A3)": "专家的分发、matmul 与合并合为一个算子（A3）",
    "MC2 for experts' dispatch in prefill too": "prefill 的专家分发也采用 MC2",
    "experts without the fused matmul, SwiGLU and quantisation": "专家不使用 matmul、SwiGLU 与量化的融合算子",
    "shared experts on a stream of their own": "共享专家使用单独的流",
    "MLA's preprocessing in several operators": "MLA 前处理拆为多个算子",
    "batch-invariant matmul, softmax and attention": "与批次无关的 matmul、softmax 与注意力",
    "vLLM-Ascend's recipe for runs that can be repeated": "vLLM-Ascend 的可复现运行配置",
    # What three-way comparison implicate (comparisons.py)
    "nothing: both paths compute the reference's model": "无异常：两条路径的计算均与参考模型一致",
    "two paths that err within their limits, but apart: look at the worst position of each": (
        "两条路径各自的误差都在阈值内，但方向不同：请查看各自误差最大的位置"
    ),
    "decode alone: KV cache, recurrent state, decode kernels or the replay of a graph": (
        "仅 decode：KV 缓存、循环状态、decode 算子或图回放"
    ),
    "decode alone, narrowly: it breaks a limit that prefill just keeps; look at its worst position": (
        "仅 decode，且接近阈值：decode 超出了 prefill 勉强满足的阈值；请查看其误差最大的位置"
    ),
    "prefill alone: attention over whole prompts, its mask or positions, or chunking": (
        "仅 prefill：整段提示词的注意力、其掩码或位置编码，或分块处理"
    ),
    "prefill alone, narrowly: it breaks a limit that decode just keeps; look at its worst position": (
        "仅 prefill，且接近阈值：prefill 超出了 decode 勉强满足的阈值；请查看其误差最大的位置"
    ),
    "what both paths share: weights, their conversion, or the arithmetic of the layers": (
        "两条路径共有的部分：权重、权重转换或各层的计算"
    ),
    "weights or layers are wrong, and decode has a second error: fix prefill first": (
        "两条路径共有的部分，且 decode 另有问题：先解决 prefill 暴露的问题"
    ),
}
