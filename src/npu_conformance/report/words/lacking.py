r"""Chinese for why a variant or a model did not run, by a pattern of the English: `\1` is a part as it stands."""

import re

_WHY: dict[str, str] = {
    "vLLM's model runner for the CPU has no tensors for the second stage (seen with 0.32.0)": (
        "vLLM 的 CPU 运行器没有第二流水级的张量（见于 0.32.0）"
    ),
    "vLLM's experts for the CPU read beyond their rank's, and the engine dies (seen with 0.32.0)": (
        "vLLM 的 CPU 专家算子会读到其他 rank 的专家，引擎崩溃（见于 0.32.0）"
    ),
    "the model has no experts": "该模型没有专家层",
    "vLLM says `LLM(data_parallel_size=2) is not supported for single-process usage and may hang`": (
        "vLLM 提示 `LLM(data_parallel_size=2) is not supported for single-process usage and may hang`"
    ),
    "acts between ranks only, and the model is served on one: set serve.tensor_parallel_size": (
        "仅在多个 rank 之间起作用，而该模型只用一个 rank：请设置 serve.tensor_parallel_size"
    ),
    "xlite has no model of this architecture": "xlite 没有该架构的模型",
    "lays out quantised weights only by default, and these are plain: it would be base": (
        "默认只改变量化权重的布局，而该权重未量化：与 base 相同"
    ),
    "vLLM-Ascend has enable_kv_nz for MLA on the decode node of a disaggregated deployment only": (
        "vLLM-Ascend 仅在 PD 分离部署的 decode 节点上对 MLA 支持 enable_kv_nz"
    ),
    "acts with expert parallelism only: set enable_expert_parallel under serve.engine_args": (
        "仅在专家并行时起作用：请在 serve.engine_args 中设置 enable_expert_parallel"
    ),
    "multiplies weights as they are stored, and these are quantised": "按存储的形式相乘，而该权重已量化",
    "vLLM wants two ranks a KV head for it: set serve.tensor_parallel_size higher": (
        "vLLM 要求每个 KV 头对应两个 rank：请增大 serve.tensor_parallel_size"
    ),
    "acts on experts only, and the model has none": "仅对专家层起作用，而该模型没有专家层",
    "acts on experts in W8A8, and these weights are plain": "仅对 W8A8 专家起作用，而该权重未量化",
    "acts on MLA with sparse attention (index_topk), or else on the decode node of a disaggregated deployment only": (
        "仅对带稀疏注意力（index_topk）的 MLA 起作用，否则仅用于 PD 分离部署的 decode 节点"
    ),
    "acts on W8A8 only, and these weights are plain": "仅对 W8A8 起作用，而该权重未量化",
    "every variant of this model is served with its LoRA": "该模型的所有变体都带其 LoRA 部署",
    "the config's serve section and envs already set these options in base": (
        "配置的 serve 部分和 envs 已在 base 中设置了这些选项"
    ),
}
"""Of a variant, as the catalogue and `run/lacking.py` have it."""

_RELEASES: dict[str, str] = {
    "says `spec decode is not supported.` on a CPU": "在 CPU 上提示 `spec decode is not supported.`",
    "gives its kernel for the CPU `USE_FP64_GUMBEL`, which that does not know": (
        "向 CPU 算子传入其不认识的 `USE_FP64_GUMBEL`"
    ),
    "has this fusion no more": "已不再有该融合",
    "has no pass_config.enable_sp": "没有 pass_config.enable_sp",
    "has FlashComm2 no more": "已不再有 FlashComm2",
    "has this operator no more": "已不再有该算子",
    "says `PCP (Prefill Context Parallelism) is not supported by vLLM Ascend.`": (
        "提示 `PCP (Prefill Context Parallelism) is not supported by vLLM Ascend.`"
    ),
    "has no enable_prefill_mc2": "没有 enable_prefill_mc2",
}
"""Of releases that do not run a variant."""

LACKING: tuple[tuple[str, str], ...] = (
    *((rf"(\S+): {re.escape(why)}", rf"\1：{chinese}") for why, chinese in _WHY.items()),
    *((rf"(\S+): (vllm\S*) (\S+) {re.escape(why)}", rf"\1：\2 \3 {chinese}") for why, chinese in _RELEASES.items()),
    (r"before (\S+) it can run", r"\1 之前的版本可运行"),
    (r"from (\S+) on it can run", r"\1 及之后的版本可运行"),
    (r"before (\S+) and from (\S+) on it can run", r"\1 之前以及 \2 及之后的版本可运行"),
    (
        r"(\S+): a longest request of (\d+) tokens has no room for its texts",
        r"\1：最大请求长度 \2 个 token 容不下其文本",
    ),
    (
        r"not applicable: (\S+) has no serve options, so (\S+) would be base again",
        r"不适用：\1 没有部署选项，\2 等同于 base",
    ),
    (
        r"not applicable: a baseline has base's tokens, (\S+) uses the suite's own long texts",
        r"不适用：基线使用 base 的 token，而 \1 使用套件自带的长文本",
    ),
    (
        r"serve\.quantization: ascend is vLLM-Ascend's own, which needs NPUs, and this platform is (\S+): --candidate "
        r"transformers computes with the same codes here",
        r"serve.quantization: ascend 为 vLLM-Ascend 所特有，需要 NPU，而当前平台为 \1："
        r"此处可用 --candidate transformers 以相同的量化值计算",
    ),
    (
        r"(\S+) has no twin: name a recipe in its YAML \(twin: (.+)\), or run its real weights",
        r"\1 没有 twin：请在其 YAML 中指定 recipe（twin: \2），或运行真实权重",
    ),
    (r"not run: for the reason that the first of these errors gives", "未运行：原因见首个错误"),
    (r"not run: the engine did not start", "未运行：引擎未能启动"),
    (r"(\S+): no trace here \(trace\.json is missing\)", r"\1：此处没有 trace（缺少 trace.json）"),
)
