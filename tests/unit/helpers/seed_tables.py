"""Every table of the published reports, by the model's name, and where a card has it."""

from collections.abc import Sequence

from npu_conformance.report.words import Language, metric, word
from npu_conformance.report.words.labels import WORDS
from npu_conformance.report.words.metrics import METRICS
from npu_conformance.report.words.parameters import PARAMETERS

Place = tuple[str, str, tuple[str, ...]]
"""Name of the published table, key of the card's heading, and keys of rows or columns that stand under it."""

_SHAPE = ("architecture", "hidden_layers", "hidden_size", "vocab_size")
_ERRORS: Place = ("误差来源", "error_source", ("source_rounding", "source_own"))
_FILES: Place = ("文件", "citation", ("file_page", "file_json"))
_FIRST_TOKENS = ("candidate_first", "reference_first", "matches")
_TIMES = ("start", "generate_s", "tokens_per_s", "peak_memory_gib")
_WEIGHTS = ("mean", "std", "range", "operator_norm")

SEED_TABLES: dict[str, tuple[Place, ...]] = {
    "Qwen3Guard-Gen-4B": (
        ("快速开始", "serve", ("vllm serve", "modelscope download")),
        ("模型参数", "facts", (*_SHAPE, "attention_heads", "key_value_heads", "intermediate_size", "rope_theta",
                           "max_position_embeddings", "tie_word_embeddings", "parameters", "dtype", "weight_bytes")),
        ("特性支持", "features", ("base", "graph", "chunked_prefill", "prefix_caching")),
        ("测试环境", "environment", ("device", "float32", "versions", "candidate", "reference")),
        ("核心精度指标", "metrics", ("token_agreement", "cosine_mean", "cosine_min", "pearson_mean", "relative_l2_mean",
                               "relative_l2_max", "kl_mean", "max_abs_diff", "mean_abs_diff")),
        ("逐条对比", "per_prompt", (*_FIRST_TOKENS, "cosine", "relative_error")),
        _ERRORS,
        ("安全分类一致性", "labels", ("prompt", "candidate", "reference", "equal")),
        ("性能", "performance", _TIMES),
        _FILES,
    ),
    "Qwen3.5-4B-Condenser": (
        ("测试环境", "environment", ("device", "float32", "versions", "candidate", "reference")),
        ("核心精度指标", "metrics", ("token_agreement", "cosine_mean", "relative_l2_mean")),
        ("Greedy 确定性", "greedy_determinism", ("repeated_tokens",)),
        ("逐项测试详情", "expected_answers", ("prompt", "expected", "answer", "repeated", "as_expected")),
        ("BF16 精度分析", "error_source", ("source_rounding",)),
        ("快速开始", "serve", ("modelscope download", "--lora-modules")),
    ),
    "Qwen3-4B-FP8": (
        ("模型信息", "facts", (*_SHAPE, "attention_heads", "key_value_heads", "dtype")),
        ("关键文件", "citation", ("file_page", "file_json")),
        ("算子兼容性", "features", ("base", "graph")),
        ("精度对比", "conversion", ("scheme", "relative_rms_error", "max_absolute_error")),
        ("精度损失来源", "error_source", ("source_rounding", "source_own")),
        ("推理输出质量", "expected_answers", ("answer", "as_expected")),
        ("部署", "serve", ("vllm serve", "dev convert", "--tensor-parallel-size")),
        ("性能", "performance", _TIMES),
    ),
    "Qwen3-1.7B-GPTQ-Int8-FP16": (
        ("环境", "environment", ("versions", "device")),
        _FILES,
        ("转换精度", "conversion", ("max_absolute_error", "min_scale", "mean_scale", "max_scale", "audit_mean")),
        ("权重统计", "conversion", ("shape", *_WEIGHTS)),
        ("Top-1 Token", "per_prompt", _FIRST_TOKENS),
        ("相似度", "metrics", ("cosine_mean", "relative_l2_mean")),
        ("性能", "performance", _TIMES),
        ("转换命令", "serve", ("dev convert",)),
    ),
    "BitCPM4-CANN-1B": (
        ("模型", "facts", (*_SHAPE, "parameters", "max_position_embeddings")),
        ("实际值与配置值", "facts", ("attention_heads", "key_value_heads", "head_dim", "intermediate_size")),
        ("硬件与软件", "environment", ("device", "versions")),
        ("文件", "citation", ("file_page", "file_json")),
        ("输出", "expected_answers", ("prompt", "answer", "n_tokens")),
        ("Token 匹配", "per_prompt", _FIRST_TOKENS),
        ("三次运行一致", "greedy_determinism", ("repeated_tokens", "repeated_rows")),
        ("性能", "performance", _TIMES),
        ("部署", "serve", ("vllm serve",)),
        ("结论", "features", ("base", "as_served")),
        ("约束", "known_limits", ()),
    ),
}  # fmt: skip


def missing(card: Sequence[str], model: str, language: Language) -> list[str]:
    """What a card lacks of a model's published tables: `table: heading` or `table: row`."""
    parts: dict[str, list[str]] = {}
    heading = ""
    for line in card:
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        parts.setdefault(heading, []).append(line)
    found = []
    for table, key, names in SEED_TABLES[model]:
        title = word(language, key)
        text = "\n".join(parts.get(title, ()))
        found += [f"{table}: {title}"] if title not in parts else []
        found += [f"{table}: {name}" for name in names if _said(name, language) not in text]
    return found


def _said(name: str, language: Language) -> str:
    """A key of the suite's words as a card says it; other text is itself."""
    if name in PARAMETERS:
        return PARAMETERS[name][language == "zh"]
    if name in METRICS:
        return metric(language, name)
    return word(language, name) if name in WORDS else name
