"""The words of a report, in English and Chinese."""

from npu_conformance.report.words.cards import CARDS
from npu_conformance.report.words.claimed import CLAIMED
from npu_conformance.report.words.compared import COMPARED
from npu_conformance.report.words.details import DETAILS
from npu_conformance.report.words.features import MATRIX
from npu_conformance.report.words.files import FILES
from npu_conformance.report.words.layers import LAYERS
from npu_conformance.report.words.performance import PERFORMANCE
from npu_conformance.report.words.sections import SECTIONS
from npu_conformance.report.words.signs import SIGNS

WORDS: dict[str, tuple[str, str]] = {
    **CARDS,
    **CLAIMED,
    **DETAILS,
    **COMPARED,
    **FILES,
    **MATRIX,
    **LAYERS,
    **PERFORMANCE,
    **SECTIONS,
    **SIGNS,
    "title": ("Precision conformance report", "精度对齐报告"),
    "summary": ("Summary", "总览"),
    "model": ("Model", "模型"),
    "verdict": ("Verdict", "判定"),
    "positions": ("Positions", "位置数"),
    "worst": ("What decided", "主要原因"),
    "twin": ("twin: a trained stand-in, not the model", "twin：现场训练的小规模替代模型，不代表真实模型"),
    "real": ("real weights", "真实权重"),
    "facts": ("Model", "模型参数"),
    "partial": ("What the verdict does not cover", "判定不包括的检查"),
    "partial_short": ("partial", "部分"),
    "item": ("Item", "项目"),
    "entry": ("Value", "值"),
    "environment": ("Test environment", "测试环境"),
    "candidate": ("Candidate", "被测引擎（candidate）"),
    "reference": ("Reference", "参考（reference）"),
    "hardware": ("Hardware meant for", "目标硬件"),
    "from_baseline": ("of the baseline; none was computed", "取自基线，未重新计算"),
    "method": ("Method", "评估方式"),
    "method_text": (
        "raw logits captured inside the engine; the float32 reference scores the same tokens in one pass, position by "
        "position, up to the first end-of-text",
        "在引擎内部采集原始 logits；float32 参考模型对相同 token 一次前向打分，逐位置对比，直到首个结束符",
    ),
    "method_alone": (
        "no reference was computed: the engine was made to take its baseline's tokens, and is held against what the "
        "baseline keeps of the reference and of the noise floor, a few words of each row",
        "未计算参考：引擎被强制沿用基线的 token，与基线中保存的参考和噪声基底（每个位置的少数几个词）对比",
    ),
    "samples": ("Sample", "测试样本"),
    "prompts": ("prompts", "条提示词"),
    "metrics": ("Precision metrics", "精度指标"),
    "metric": ("Metric", "指标"),
    "observed": ("Observed", "实测"),
    "limit": ("Limit", "判定标准"),
    "n": ("n", "n"),
    "interval": ("95 % interval", "95 % 区间"),
    "floor": ("Floor run", "对照运行"),
    "gates": ("Gates against the noise floor", "相对噪声基底的判定"),
    "gate": ("Gate", "判定项"),
    "path": ("Path", "路径"),
    "p_adjusted": ("p, adjusted", "校正后 p"),
    "note_gates": (
        "In units of the noise floor: what floor runs of the same model deviate from the reference at the same "
        "positions. A gate fails where its adjusted p is at or below this variant's share of the run's false alarms; "
        "it passes where its interval lies within the limit.",
        "以噪声基底为单位：同一模型的舍入对照运行在相同位置与参考的偏差。"
        "校正后 p 不高于该变体分得的误报率即判失败；区间完全在阈值内即通过。",
    ),
    "agreement": ("Token agreement and ties", "Token 一致率与近似并列（near-tie）"),
    "agreement_raw": ("Token agreement", "Token 一致率"),
    "agreement_adjusted": ("Token agreement, ties counted as equal", "Token 一致率（近似并列计为一致）"),
    "ties": ("Ties", "近似并列数"),
    "ties_expected": ("Expected of the floor: mean (range)", "噪声基底预期：均值（范围）"),
    "note_agreement": (
        "What is judged is the share of equal and tied tokens, and that every other token is tied. Expected ties: at "
        "how many of the same positions the floor runs choose another token than the reference. The "
        "summary of details.md has `base` or `as_served`, whichever agrees less.",
        "判定依据是将近似并列计为一致后的 Token 一致率，并要求所有不一致的 token 均属近似并列。预期的近似并列数："
        "在相同位置上，各次舍入对照运行所选 token 与参考不同的次数。"
        "details.zh.md 的总览取 `base` 与 `as_served` 中一致率较低者。",
    ),
    "router_ties": ("Router ties: rounding may exchange an expert there", "路由近似并列：舍入可能换成另一个专家"),
    "mismatches": ("Other tokens that are no tie", "不属近似并列的 token 差异"),
    "position": ("Position", "位置"),
    "margin": ("Reference's leads by", "参考所选 token 的领先量"),
    "lead": ("Candidate's leads by", "被测所选 token 的领先量"),
    "tie_width": ("Tied if both ≤", "两者均 ≤ 此值则为近似并列"),
    "note_mismatches": (
        "In logits, after the same prefix. How near tied tokens may be follows from the noise floor's errors, where "
        "there is a floor, never from the candidate's.",
        "单位：logit，两侧前缀相同。近似并列的上限取自噪声基底的误差（如有噪声基底），与被测自身的误差无关。",
    ),
    "ruled_out": ("What these passes rule out", "这些通过项所能排除的错误"),
    "smallest_fault": ("Smallest faults it would have caught: kind and strength", "能检出的最小错误：类别与强度"),
    "note_ruled_out": (
        "On every twin of the recorded campaign (docs/faults.md), on no more prompts and positions than here, "
        "with gates that allowed no less. A real model may show "
        "a fault more, or less, than a twin does.",
        "依据已记录的故障注入实验（docs/faults.md，覆盖全部 twin）。"
        "所用提示词和位置不多于本次，判定项允许的值不小于本次。"
        "真实模型对错误的敏感程度可能更高，也可能更低。",
    ),
    "checks": ("Other checks", "其他检查"),
    "check": ("Check", "检查项"),
    "where": ("Where", "位置"),
    "per_prompt": ("Prompt by prompt", "逐条提示词"),
    "prompt": ("Prompt", "提示词"),
    "candidate_first": ("Candidate's first token", "被测首 Token"),
    "reference_first": ("Reference's first token", "参考首 Token"),
    "matches": ("Tokens equal", "Token 匹配"),
    "cosine": ("Cosine (first · mean)", "余弦（首 · 均值）"),
    "relative_error": ("Rel. error", "相对误差"),
    "answer": ("Answer", "输出"),
    "labels": ("Labels", "标签一致性"),
    "expected": ("Expected", "期望"),
    "equal": ("Equal", "是否一致"),
    "engines": ("How the engine ran", "引擎运行方式"),
    "option": ("Option", "选项"),
    "timings": ("Seconds", "耗时（秒）"),
    "versions": ("Versions", "版本"),
    "own_limits": ("This model's own limit", "本模型自定义阈值"),
    "provenance": ("Provenance", "运行信息"),
    "command": ("Command", "命令"),
    "judged_from": ("Judged again from the traces of", "基于已有 trace 重新判定"),
    "note_reference_label": (
        "The reference's label is read from its own choice at each position, given the candidate's prefix.",
        "参考模型的标签取自其在每个位置（以被测模型前缀为条件）的选择。",
    ),
    "note_interval": (
        "Intervals take prompts, not positions, for independent: Clopper and Pearson's for a rate, whose ends hold "
        "with 95 % confidence each by itself; Cox's for a mean. "
        "KL, extremes and percentiles have none. Figures without a limit are shown, not judged.",
        "区间以提示词而非位置为独立单位：比率用 Clopper-Pearson 区间（两端各自为 95 % 置信度），均值用 Cox 区间；"
        "KL、极值和分位数没有区间。"
        "无阈值的指标仅展示，不参与判定。",
    ),
    "published": ("Published report", "公开发布的报告"),
    "published_note": (
        "Claims of their publisher, beside what this run measured; nothing is judged by them. Mind both n: measured "
        "figures rest on every judged position.",
        "以下为发布者的声明，与本次实测并列展示，不参与判定。请注意两侧的 n：实测指标取自所有判定位置。",
    ),
    "published_source": ("Source", "出处"),
    "published_value": ("Published", "发布值"),
    "published_measured_real": ("Measured", "实测"),
    "published_measured_twin": ("Measured, of the stand-in", "实测（twin）"),
    "published_ratio": ("Measured / published", "实测 / 发布"),
    "published_remark": ("Remark", "备注"),
    "published_criterion": ("its publisher's criterion:", "发布者的判定标准："),
    "published_not_measured": ("this run does not measure it", "本次未测"),
    "published_inside": ("inside the published bound", "在发布的界限之内"),
    "published_outside": ("outside the published bound", "超出发布的界限"),
    "published_speed": (
        "measured with all prompts batched and logits captured: no measurement of speed",
        "实测为批量推理并采集 logits，不作为性能数据",
    ),
    "published_start_time": (
        "measured over the engine's whole start, imports included",
        "实测含引擎完整启动及导入",
    ),
    "published_first": ("Published first token", "发布的首 Token"),
    "published_reference_first": ("Published reference's", "发布的参考首 Token"),
    "published_first_measured": ("first token", "首 Token"),
    "published_cosine": ("Published cosine", "发布的余弦"),
    "published_cosine_measured": ("cosine of the first token", "首 Token 余弦"),
    "published_answer": ("Published answer or label", "发布的输出或标签"),
    "published_answer_measured": ("answer or label", "输出或标签"),
    "published_besides": ("Also published", "其他发布数据"),
    "published_expected": ("expected", "期望"),
    "published_matches": ("tokens equal", "Token 匹配"),
    "published_tokens": ("tokens", "Token 数"),
    "published_seconds": ("seconds", "耗时（秒）"),
    "published_reference_seconds": ("reference's seconds", "参考耗时（秒）"),
    "published_reference_answer": ("reference's answer", "参考输出"),
    "published_reference_label": ("reference's label", "参考标签"),
    "published_prompt_not_run": ("not among this run's prompts", "本次未包含该提示词"),
    "published_examples": ("Prompts published without a result", "仅作示例、未给出结果的提示词"),
    "published_weights": ("Checkpoint", "权重"),
    "published_config": ("Its config.json said", "其 config.json 所写"),
    "published_layers": ("Hidden states by layer", "逐层隐状态"),
    "published_layer": ("Layer", "层"),
    "published_norm": ("Published norm", "发布的范数"),
    "published_claims": ("Claims", "声明"),
    "published_claim": ("claim, not measured", "声明，未测"),
    "greedy_determinism": ("Greedy determinism", "Greedy 确定性"),
    "expected_answers": ("Answers as expected", "回答正确率"),
    "label_match": ("Labels equal to the reference's", "标签一致率"),
    "tokens_per_second": ("Generation throughput", "生成吞吐"),
    "milliseconds_per_token": ("Time per token", "单 Token 耗时"),
    "engine_start": ("Model load or engine start", "模型加载或引擎启动"),
    "peak_memory": ("Peak memory of the engine's host process", "引擎进程主机内存峰值"),
    "finding": ("Noticed", "提示"),
    "conversion": ("Conversion to plain weights", "权重转换"),
    "audit": ("Weights against the published ones, read independently", "权重与发布权重的独立比对"),
    "audit_parameters": ("Parameters", "参数张量数"),
    "audit_exact": ("Equal, rounded once", "仅一次舍入，完全一致"),
    "audit_rms": ("Relative rms difference", "相对均方根误差"),
    "audit_max": ("Largest difference", "最大误差"),
    "audit_mean": ("Mean difference", "平均误差"),
    "weights_loaded": ("Weights of the first layer, as the candidate loads them", "首层权重统计（被测加载）"),
    "weights_published": ("Weights of the first layer, as published", "首层权重统计（发布）"),
    "tensor": ("Tensor", "张量"),
    "shape": ("Shape", "形状"),
    "mean": ("Mean", "均值"),
    "std": ("Std", "标准差"),
    "range": ("Range", "范围"),
    "near_zero": ("Within a quarter of their group's greatest", "组内最大值四分之一以内占比"),
    "operator_norm": ("Operator norm", "算子范数"),
    "codes": ("codes", "量化值"),
    "repeated": ("Same again", "两次一致"),
    "norm": ("norm", "范数"),
    "variants": ("Variants", "变体"),
    "variant": ("Variant", "变体"),
    "log": ("The engine's log", "引擎日志"),
    "log_text": (
        "What the engine wrote and went on. ❌: another model ran than the checkpoint holds, and `engine_log` fails",
        "引擎写入日志后继续运行的提示。❌ 表示运行的并非检查点中的模型，`engine_log` 不通过",
    ),
    "times": ("Times", "次数"),
    "log_line": ("First line", "首次出现的一行"),
    "meaning": ("Meaning", "含义"),
    "remedy": ("What to do", "处理办法"),
    "changes": ("What it changes of base", "相对 base 的改动"),
    "against_base": ("Rel. L2 error to base, mean · max", "与 base 的相对误差（L2），均值 · 最大"),
    "flips": ("Other token (+ tied)", "token 不同（+ 近似并列）"),
    "bitwise": ("Bitwise equal", "比特级一致"),
    "reference_tokens": ("Tokens equal to the reference's", "与参考的 token 一致率"),
    "reference_error": ("Rel. L2 error to the reference, mean", "与参考的平均相对误差（L2）"),
    "start": ("Start, s", "启动（秒）"),
    "same_answers": ("answers equal", "条回答相同"),
    "no_effect": ("without effect", "未生效"),
    "unconfirmed": ("asked, not confirmed", "已请求，未确认生效"),
    "note_unconfirmed": (
        "Nothing in this run shows that these took effect, so it may be base's again: no check of this variant passes. "
        "A check that fails has seen something else than base.",
        "本次运行中没有任何迹象表明上述设置已生效，它可能等同于 base：该变体的任何检查均不判为通过。"
        "若有检查失败，则说明其结果确与 base 不同。",
    ),
    "note_no_effect": (
        "This run is base's again and says nothing about the variant: none of its checks is judged.",
        "本次运行等同于 base，不能说明该变体的情况：其各项检查均不判定。",
    ),
    "note_variants": (
        "`base` and `as_served` choose their own tokens. Every other variant changes one thing of `base` and is made "
        "to take base's tokens, so that its logits stand at base's positions and are compared there, with base's and "
        "with the reference's. Block-boundary prompts end one token before, at and after the edge of a KV cache block. "
        "*Other token*: the largest logit is another token's; *tied*: the two are so near that rounding may have "
        "decided. Variants may share a process: only its first start pays for imports.",
        "`base` 与 `as_served` 自行选取 token。其他变体各自只改动 `base` 的一处，并被强制沿用 base 的 token，因此其 "
        "logits 与 base 处于相同位置，可逐位置与 base 及参考比较。块边界提示词：在 KV 缓存块边界之前一个 token、边界处"
        "和之后一个 token 截断的文本。*token 不同*：最大 logit 属于另一个 token；*近似并列*：两者相差极小，"
        "可能仅由舍入决定。"
        "多个变体可共用一个进程，只有首次启动包含导入耗时。",
    ),
    "paths": ("Paths: decode and prefill", "计算路径：decode 与 prefill"),
    "decode_path": ("Decode against reference", "decode 对参考"),
    "prefill_path": ("Prefill against reference", "prefill 对参考"),
    "own_path": ("Decode against own prefill", "decode 对自身 prefill"),
    "holds": ("holds", "成立"),
    "breaks": ("breaks", "不成立"),
    "implicates": ("What it points at", "指向"),
    "seen_in": ("Seen in", "出现于"),
    "note_paths": (
        "Decode computes a token at a time through the KV cache, prefill a whole text at once, with other kernels. A "
        "comparison holds when it keeps every limit of the logits; the figure is its mean relative L2 error.",
        "decode 借助 KV 缓存逐 token 计算，prefill 一次计算整段文本，二者使用不同的算子。某项比较满足全部 logits 阈值"
        "即为成立；所示数值为其平均相对误差（L2）。",
    ),
    "other_batches": ("Other batches", "批次一致性"),
    "scenario": ("Scenario", "场景"),
    "again": ("Prompts (copies counted)", "提示词数（含副本）"),
    "different": ("Not bitwise equal", "非比特级一致"),
    "distance": ("Largest rel. L2 distance", "最大相对距离（L2）"),
    "note_batches": (
        "The same prompts made to take the same tokens again in other batches, held against the first time. Kernels "
        "may round by the shape of a batch: rows must be bitwise equal only where the config sets `batch_invariant`, "
        "but no token may change unless it is tied.",
        "让相同提示词在其他批次中沿用相同的 token 再计算一次，并与首次结果比较。算子的舍入可能取决于批次形状："
        "仅当配置设置 `batch_invariant` 时才要求比特级一致；但除近似并列外，token 不得改变。",
    ),
    "asked": ("Asked for", "请求值"),
    "effective": ("In effect", "生效值"),
    "note_options": (
        "⚠: the engine ran with something else than it was asked for. —: left to the engine, or not told by it.",
        "⚠：引擎的生效值与请求值不同。—：未指定，由引擎决定；或引擎未给出。",
    ),
    "not_applicable": ("Not applicable", "不适用"),
    "engine_starts": ("engines started", "启动引擎次数"),
}
