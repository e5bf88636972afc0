"""The words of the sections of pages and cards, in English and Chinese. Braces are filled by the section."""

SECTIONS: dict[str, tuple[str, str]] = {
    "twin_note": (
        "This is a twin: a small model that the suite trained. Its result says nothing about the real model.",
        "这是小规模替代模型（twin），由本套件现场训练；其结果不代表真实模型。",
    ),
    "partial_note": (
        "Partial: {count} checks were not selected, and the verdict does not cover them.",
        "部分结果：有 {count} 项检查未被选择，判定不包括这些检查。",
    ),
    "sentence_pass": (
        "Pass: the engine computes the reference's model within the limits. {confidence}",
        "通过：引擎与参考模型的计算在阈值内一致。{confidence}",
    ),
    "sentence_fail": ("Fail: {what}, in {variant}. {where}", "不通过：{what}（{variant}）。{where}"),
    "sentence_layer": ("The first bad layer is {layer}.", "首个异常层为 {layer}。"),
    "sentence_inconclusive": (
        "Inconclusive: nothing failed, but the sample is too small to show every limit. {confidence}",
        "样本不足，暂无法判定：没有检查不通过，但样本不足以证明满足全部阈值。{confidence}",
    ),
    "sentence_error": ("Error: {why}", "执行出错：{why}"),
    "sentence_skipped": ("Skipped: {why}", "跳过：{why}"),
    "confidence_tokens": (
        "With 95 % confidence at least {least} of tokens are the reference's, or tied with them (n = {n}).",
        "在 95 % 置信度下，至少 {least} 的 token 与参考一致或属近似并列（n = {n}）。",
    ),
    "confidence_error": (
        "The error is {observed} times that of rounding alone ({interval}; limit {limit}).",
        "误差为舍入噪声的 {observed} 倍（{interval}；阈值 {limit}）。",
    ),
    "confidence_error_alone": (
        "The error is {observed} times that of rounding alone (limit {limit}).",
        "误差为舍入噪声的 {observed} 倍（阈值 {limit}）。",
    ),
    "message_join": ("; ", "；"),
    "list_join": (" ", ""),
    "measured_is": ("{what} is {observed} (limit {limit})", "{what}为 {observed}（阈值 {limit}）"),
    "tile_floor": ("floor {floor}", "噪声基底 {floor}"),
    "tile_limit": ("limit {limit}", "阈值 {limit}"),
    "what_ran": ("What was run", "测试内容"),
    "what_decided": ("What decided", "判定依据"),
    "ran_sample": ("{prompts} prompts, {positions} positions", "{prompts} 条提示词，{positions} 个位置"),
    "failures": ("All that failed: {count} figures", "全部不通过项：{count} 项"),
    "property_of": ("{what} ({figure})", "{what}（{figure}）"),
    "property": ("What must hold", "应满足的性质"),
    "nearest_limit": ("Nearest to its limit", "最接近阈值的一项"),
    "nearest": ("{what}, in {variant}", "{what}（{variant}）"),
    "failed_in": ("Failed in", "不通过的变体"),
    "first_layer": ("First bad layer", "首个异常层"),
    "first_token": ("First other token", "首个不一致的 token"),
    "first_token_text": (
        "{prompt}, position {position}: candidate {candidate}, reference {reference}",
        "{prompt}，位置 {position}：被测 {candidate}，参考 {reference}",
    ),
    "look_first": ("Look first at", "首先查看"),
    "may_follow": ("May follow from it", "可能由此引起"),
    "gates_section": ("Figures and gates", "指标与判定项"),
    "note_shown_limit": (
        "A limit without a verdict: rounding, or an expert that rounding may exchange, alone comes near that limit in "
        "this model or breaks it. The gates against the noise floor judge instead.",
        "有阈值而无判定的指标：仅舍入（或舍入引起的专家互换）即可接近或超出该阈值，改由相对噪声基底的判定项判定。",
    ),
    "all_figures": ("All figures with limit, n and interval", "全部指标：阈值、n 与区间"),
    "note_bullets": (
        "Each bar is an error as a share of its own limit: 100 % is the limit. The line across is the 95 % interval, "
        "the diamond the worst floor run, which is rounding alone.",
        "每条为误差占其阈值的比例：100 % 即阈值。横线为 95 % 区间，菱形为误差最大的对照运行（仅有舍入误差）。",
    ),
    "bullets_alt": (
        "{count} errors of {variant}, each as a share of its limit; the table below has the numbers",
        "{variant} 的 {count} 项误差，均为占阈值的比例；数值见下表",
    ),
    "answers_section": ("Generated text, token by token", "逐 token 查看生成文本"),
    "note_tokens": (
        "Colour: the error of a token's logits over that of rounding alone at the same position. A dashed line under a "
        "token: another token than the reference's, tied with it. A double line: another token, not tied. Point at a "
        "token, or press Tab and the arrow keys, to see both sides' five likeliest tokens with their logits. "
        "A sign \ufffd is a part of a character that is split over tokens.",
        "颜色：该 token 处 logits 误差与同一位置舍入噪声之比。"
        "虚线下划线：与参考不同但属近似并列；双下划线：与参考不同且不属近似并列。"
        "将指针移到 token 上，或按 Tab 键和方向键，可查看两侧概率最高的五个 token 及其 logit。"
        "\ufffd 表示被切分到多个 token 的字符的一部分。",
    ),
    "note_tokens_no_floor": (
        "Colour: the error of a token's logits over the limit of the mean error. A dashed line under a token: another "
        "token than the reference's, tied with it. A double line: another token, not tied.",
        "颜色：该 token 处 logits 误差与平均误差阈值之比。"
        "虚线下划线：与参考不同但属近似并列；双下划线：与参考不同且不属近似并列。",
    ),
    "answer_note": ("{matches}/{tokens} tokens equal, error {error}", "{matches}/{tokens} 个 token 一致，误差 {error}"),
    "answers_others": ("The other {count} answers", "其余 {count} 条回答"),
    "token_over": ("error over the floor", "误差与噪声基底之比"),
    "token_margin": ("margin", "领先量"),
    "token_tie": ("tied", "近似并列"),
    "token_same": ("same token", "token 一致"),
    "token_other": ("another token, not tied", "token 不同，不属近似并列"),
    "token_special": ("special", "特殊 token"),
    "legend": ("Error over the floor", "误差与噪声基底之比"),
    "errors_section": ("Where the error is", "误差分布"),
    "alt_position": (
        "Relative L2 error by the position in the answer; the worst is {worst} at position {step}",
        "相对误差（L2）随回答位置的变化；最大为位置 {step} 处的 {worst}",
    ),
    "alt_spread": (
        "Distribution of the relative L2 error over positions; its median is {median}, the floor runs' {floor}",
        "各位置相对误差（L2）的分布；中位数为 {median}，对照运行为 {floor}",
    ),
    "alt_prompts": (
        "Mean relative L2 error by prompt; the worst is {prompt} with {worst}",
        "各提示词的平均相对误差（L2）；最大为 {prompt}（{worst}）",
    ),
    "alt_sets": ("Mean relative L2 error by prompt set: {sets}", "各提示词集的平均相对误差（L2）：{sets}"),
    "error_source": ("Where the error comes from", "误差来源分析"),
    "source": ("Source", "误差来源"),
    "share": ("Share of the squared error", "占平方误差的比例"),
    "size": ("Relative L2 error", "相对误差（L2）"),
    "how_known": ("How it is known", "依据"),
    "source_rounding": ("Rounding", "舍入误差"),
    "source_quantisation": ("Quantisation of activations", "激活值量化"),
    "source_own": ("The engine's own", "引擎自身"),
    "known_rounding": (
        "floor runs: the same model again in the candidate's precision",
        "对照运行：以被测精度重新计算同一模型",
    ),
    "known_quantisation": (
        "the reference with the candidate's quantisation and nothing else rounded",
        "参考模型仅施加被测的量化，其余不做舍入",
    ),
    "known_own": ("what the candidate has beyond its floor", "被测误差中超出噪声基底的部分"),
    "source_below": (
        "The relative L2 error is {total} (root mean square, n = {n}), that of rounding alone {floor}. "
        "Rounding explains all of it.",
        "相对误差（L2）为 {total}（均方根，n = {n}），仅舍入即为 {floor}，可完全由舍入解释。",
    ),
    "source_above": (
        "The relative L2 error is {total} (root mean square, n = {n}), that of rounding alone {floor}. "
        "Errors add in squares; what is beyond rounding is the engine's own.",
        "相对误差（L2）为 {total}（均方根，n = {n}），仅舍入为 {floor}。误差按平方相加，超出舍入的部分来自引擎自身。",
    ),
    "source_growth": (
        "Over the layers the hidden states' error goes from {first_error} ({first}) to {last_error} ({last}); the most "
        "is added at {most} ({added}).",
        "逐层累积：隐状态误差从 {first_error}（{first}）变为 {last_error}（{last}）；增加最多的是 {most}（{added}）。",
    ),
    "note_source": (
        "Shares are of the squared error of base, computed from this run.",
        "以上均为占 base 平方误差的比例，由本次运行算出。",
    ),
    "layers_section": ("Layers", "逐层分析"),
    "layer_tables": ("All layers", "全部网络层"),
    "alt_modules": (
        "Error of each attention and MLP over its own floor, as the gate judges it: what all of its kind have is left "
        "out. The largest is {point} with {ratio}",
        "各 attention 与 MLP 的误差与其自身噪声基底之比，已除去同类模块共有的部分（与判定所用相同）；"
        "最大为 {point}（{ratio}）",
    ),
    "alt_layers": (
        "Relative L2 error of hidden states by layer; the largest is {point} with {error}",
        "各层隐状态的相对误差（L2）；最大为 {point}（{error}）",
    ),
    "check_matrix": ("Checks by variant", "各变体的检查结果"),
    "determinism_section": ("Determinism and batches", "确定性与批次"),
    "confusion": (
        "{name}: reference (rows) and candidate (columns), n = {n}",
        "{name}：参考（行）与被测（列），n = {n}",
    ),
    "reference_candidate": ("Reference ↓ · candidate →", "参考 ↓ · 被测 →"),
    "label_rows": ("Prompt by prompt", "逐条提示词"),
    "weights_section": ("Weights and conversion", "权重与转换"),
    "files_statistics": ("Files and statistics", "文件与统计量"),
    "weights_digest": ("Weights' digest", "权重摘要"),
    "reference_digest": ("Reference's digest", "参考权重摘要"),
    "broken": ("Differs", "不一致"),
    "published_all": ("All that was published", "全部公开数据"),
    "claims_checked": ("Published rates, and what their n shows", "公开的比率，及其样本量所能证明的结论"),
    "claim_shows": (
        "{hits} of {n} shows at least {least}, with 95 % confidence",
        "{n} 条中 {hits} 条一致，在 95 % 置信度下仅能证明不低于 {least}",
    ),
    "what_n_shows": ("What so many cases show", "该样本量所能证明的结论"),
    "fault": ("Fault", "错误"),
    "caught_by": ("Caught by", "由以下检查检出"),
    "engine": ("Engine", "引擎"),
    "device": ("Device", "设备"),
    "started": ("Started", "开始时间"),
    "machine": ("Machine", "机器"),
    "suite": ("Suite", "套件版本"),
    "reproduce_section": ("How to reproduce", "复现方法"),
    "reproduce_text": (
        "Run the model again, or judge the traces of this run again:",
        "重新运行模型，或对本次运行的 trace 重新判定：",
    ),
    "index_title": ("Precision conformance: models of a run", "精度对齐：本次运行的模型"),
    "index_text": ("{count} models, run on {date}.", "{count} 个模型，运行于 {date}。"),
    "history_title": ("Precision conformance: all runs", "精度对齐：全部运行"),
    "history_text": ("{count} runs in this folder.", "本目录共 {count} 次运行。"),
    "history_unread": (
        "{count} folders have reports of another version, and are not shown.",
        "{count} 个目录中的报告为其他版本，未列出。",
    ),
    "alt_history": (
        "{metric} of {model}, run by run; the newest is {newest}",
        "{model} 的{metric}，逐次运行；最新为 {newest}",
    ),
    "c_run": ("run (oldest first)", "运行（从旧到新）"),
    "c_ratio": ("ratio", "比值"),
    "back": ("All models of this run", "本次运行的全部模型"),
    "contents": ("Contents", "目录"),
    "skip": ("To the content", "跳到正文"),
    "other_language": ("中文", "English"),
    "c_median": ("median", "中位数"),
    "c_p90": ("90th percentile", "第 90 百分位"),
    "c_worst": ("worst", "最大"),
    "c_floor_median": ("rounding alone, median", "仅舍入，中位数"),
    "c_candidate": ("candidate", "被测"),
    "c_floor": ("rounding alone (floor)", "仅舍入（噪声基底）"),
    "c_limit": ("limit", "阈值"),
    "c_step": ("position in the answer (tokens)", "回答中的位置（token）"),
    "c_error": ("relative L2 error (%)", "相对误差 L2（%）"),
    "c_error_log": ("relative L2 error (%, logarithmic)", "相对误差 L2（%，对数坐标）"),
    "c_positions": ("share of positions (%)", "位置占比（%）"),
    "c_prompt": ("prompt (in the order of the table below)", "提示词（按下表顺序）"),
    "c_set": ("prompt set", "提示词集"),
    "c_layer": ("layer", "层"),
    "c_over_floor": ("error over its own floor (ratio)", "与自身噪声基底之比"),
    "c_attention": ("attention", "attention"),
    "c_linear_attention": ("linear attention", "线性 attention"),
    "c_mlp": ("MLP", "MLP"),
    "c_hidden": ("hidden states", "隐状态"),
    "c_share": ("share of the limit (%)", "占阈值的比例（%）"),
}
