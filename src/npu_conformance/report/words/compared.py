"""The words of two runs held against each other, in English and Chinese."""

COMPARED: dict[str, tuple[str, str]] = {
    "compared_title": ("Two runs: {before} and {after}", "两次运行对比：{before} 与 {after}"),
    "compared_text": (
        "Before: {before}. Now: {after}. Each run is measured against its own reference; prompts are paired.",
        "之前：{before}。现在：{after}。两次运行各自与自己的参考比较，并按提示词配对。",
    ),
    "compared_back": ("All models compared", "全部对比的模型"),
    "worse": ("worse", "变差"),
    "no worse": ("no worse", "未变差"),
    "compared_inconclusive": ("inconclusive", "样本不足，暂无法判定"),
    "compared_sentence_worse": (
        "Worse than before in {worst}: {why}.",
        "比之前变差，见于 {worst}：{why}。",
    ),
    "compared_sentence_no worse": (
        "No worse than before: {why}.",
        "未变差：{why}。",
    ),
    "compared_sentence_inconclusive": (
        "Too few prompts to say: {worst}: {why}.",
        "样本不足，暂无法判定（{worst}）：{why}。",
    ),
    "compared_note": (
        "*Worse* is not wrong: it says that the engine is not what it was. Whether an error is more than rounding "
        "costs is what the gates of each run say.",
        "*变差* 不等于错误：仅表示引擎与之前不同。误差是否超出舍入噪声，由每次运行自身的判定项决定。",
    ),
    "growth_decode": ("Growth of the error, decode", "误差增长，decode"),
    "growth_prefill": ("Growth of the error, prefill", "误差增长，prefill"),
    "flips_before_now": ("Flips before → now", "argmax 翻转率：之前 → 现在"),
    "compared_figures": ("Figures of both runs", "两次运行的指标"),
    "before": ("Before", "之前"),
    "now": ("Now", "现在"),
    "compared_prompts": ("Prompts", "提示词数"),
    "change": ("Change", "变化"),
    "change_worse": ("worse", "变差"),
    "change_better": ("better", "变好"),
    "change_same": ("equal", "相同"),
    "change_within": ("within both intervals", "在两者区间之内"),
    "change_further": ("further off", "偏离增大"),
    "change_nearer": ("nearer", "偏离减小"),
    "no_report": (
        "A report.json of this version is missing in one of the folders: no figures can be shown.",
        "其中一个目录缺少本版本的 report.json，无法列出指标。",
    ),
    "note_change": (
        "*Worse* or *better*: the verdict changed, or the 95 % intervals do not touch. Without an interval only the "
        "direction is said.",
        "*变差* 或 *变好*：判定改变，或两个 95 % 区间不相交。没有区间的指标只给出方向。",
    ),
    "compared_errors": ("The error of each prompt", "逐条提示词的误差"),
    "alt_compared": (
        "{variant}: mean relative L2 error of each prompt in both runs; it grew most at {prompt}, {before} to {now}",
        "{variant}：两次运行中每条提示词的平均相对误差（L2）；增长最多的是 {prompt}，由 {before} 变为 {now}",
    ),
    "alt_compared_none": (
        "{variant}: mean relative L2 error of each prompt in both runs; it grew at none",
        "{variant}：两次运行中每条提示词的平均相对误差（L2）；没有提示词的误差增长",
    ),
    "two_tokens": ("{token}, reference {other}", "{token}，参考为 {other}"),
    "not_compared": ("not compared: {name}: {why}", "未比较：{name}：{why}"),
    "colon": (": ", "："),
    "c_before": ("before", "之前"),
    "c_now": ("now", "现在"),
    "c_paired": ("prompt (in the order of the run)", "提示词（按运行顺序）"),
    "places": ("Where it grew most", "增长最多的位置"),
    "place": ("Prompt, position", "提示词，位置"),
    "token": ("Token", "Token"),
    "differences": ("What else differs", "其他差异"),
    "no_differences": ("Nothing else differs.", "没有其他差异。"),
    "error_before": ("Error before", "之前误差"),
    "error_now": ("Error now", "现在误差"),
}

COMPARED_REASONS: tuple[tuple[str, str], ...] = (
    (r"logits are not finite any more", "logits 出现非有限值"),
    (r"(\d+) prompts in both: at least (\d+) are needed", r"两次运行共有 \1 条提示词，至少需要 \2 条"),
    (
        r"the error grew by less than ([\d.]+) times, the share of flips by less than ([\d.]+%)",
        r"误差增长不到 \1 倍，翻转率增长不到 \2",
    ),
    (r"traces only before", "仅之前的运行有 trace"),
    (r"traces only now", "仅现在的运行有 trace"),
    (r"its logits could not be seen", "无法获取其 logits"),
    (r"no prompt is in both with the same token ids", "两次运行没有 token id 相同的提示词"),
    (r"the logits of (\w+) before are not all finite", r"之前运行的 \1 logits 含非有限值"),
    (
        r"subject: (\S+) before, (\S+) now: a twin says nothing of its model",
        r"对象不同（之前 \1，现在 \2）：twin 不能说明真实模型",
    ),
    (r"the candidate's (\S+) changed: (.+) before, (.+) now", r"被测的 \1 改变：之前 \2，现在 \3"),
    (r"the reference's (\S+) changed: (.+) before, (.+) now", r"参考的 \1 改变：之前 \2，现在 \3"),
    (r"prefill was captured before only", "仅之前的运行采集了 prefill"),
    (r"prefill was captured now only", "仅现在的运行采集了 prefill"),
    (
        r"other prompts: (\d+) compared; (\d+) only before, (\d+) only now, (\d+) with other token ids or no answer",
        r"提示词不同：比较了 \1 条；仅之前有 \2 条，仅现在有 \3 条，token id 不同或没有回答的 \4 条",
    ),
    (
        r"reports made by metrics version (\S+) before and (\S+) now; here by one version",
        r"两份报告的指标版本不同（之前 \1，现在 \2）；此处按同一版本计算",
    ),
)
