r"""Chinese for the messages of checks, by a pattern of the English that report.json keeps.

A message may be several, joined by `; ` or `. `. `\1` is a part as it stands, `<1>` a part that is said in Chinese too.
"""

_P = r"((?:-?[\d.]+(?:e[+-]?\d+)?|nan|-?inf)(?: %)?)"
_WORD = r"(.*?(?: \(#-?\d+\)|#-?\d+))"

MESSAGES: tuple[tuple[str, str], ...] = (
    # Places
    (
        rf"(.+), position (\d+): (\w+) {_WORD}, (\w+) {_WORD}; logits of the two: \w+ (\S+) and (\S+), \w+ (\S+) "
        r"and (\S+)",
        r"\1，位置 \2：<3> \4，<5> \6；两者的 logit：<3> \7 和 \8，<5> \9 和 \10",
    ),
    (r"(.+), position (\d+), batch row (\d+)", r"\1，位置 \2，批次行 \3"),
    (r"(.+), position (\d+)(?:, batch row (\d+))?: first of (\d+) that differ", r"\1，位置 \2：不同的 \4 处中的第一处"),
    (rf"(.+), position (\d+): {_WORD} at first, {_WORD} again", r"\1，位置 \2：第一次为 \3，再次为 \4"),
    (
        rf"(.+): {_WORD} before, {_WORD} now, (\S+) ahead before and (\S+) behind now",
        r"<1>：之前 \2，现在 \3，之前领先 \4，现在落后 \5",
    ),
    (
        rf"(.+), position (\d+): {_WORD} in the baseline, {_WORD} now; relative error (\S+) and (\S+)",
        r"\1，位置 \2：基线为 \3，现在为 \4；相对误差 \5 和 \6",
    ),
    (rf"(.+), position (\d+): {_WORD}, base {_WORD}", r"\1，位置 \2：\3，base 为 \4"),
    (
        r"(.+), position (\d+): (\d+) NaN and (\d+) infinite of (\d+) logits of the (\w+), first at token (.+)",
        r"\1，位置 \2：<6>的 \5 个 logit 中有 \3 个 NaN、\4 个无穷，首个为 token \7",
    ),
    (
        r"(.+), position (\d+): says (.+) (\d+) times; the reference would have left it in (.+) of the (\d+) repeated "
        r"rounds",
        r"\1，位置 \2：将 \3 重复 \4 次；参考在 \6 轮重复中的 \5 轮会停止",
    ),
    (r"first at (.+), position (\d+)", r"首处为 \1，位置 \2"),
    (r"([^;]+), position (\d+)", r"\1，位置 \2"),
    (r"(.+) \(and (\d+) more\)", r"<1>（另有 \2 处）"),
    (r"worst at (.+): norm (\S+), reference (\S+)", r"最差为 \1：范数 \2，参考 \3"),
    (r"first beyond at (.+): norm (\S+), reference (\S+)", r"首个超出为 \1：范数 \2，参考 \3"),
    (
        r"worst at (.+): (\S+) times its floor, others of its kind (\S+)",
        r"最差为 \1：为其噪声基底的 \2 倍，同类为 \3 倍",
    ),
    (
        r"first beyond at (.+): (\S+) times its floor, others of its kind (\S+)",
        r"首个超出为 \1：为其噪声基底的 \2 倍，同类为 \3 倍",
    ),
    (r"first at ([^;]+)", r"首处为 \1"),
    (r"worst at ([^;:]+)", r"最差为 \1"),
    (r"the norm explodes at (.+)", r"范数在 \1 处激增"),
    # Answers and labels
    (r"(.+): expected (.+) in the answer, found (.+)", r"\1：回答中应有 \2，实际为 \3"),
    (r"(.+): expected an answer of the form (.+), found (.+)", r"\1：回答应为 \2 格式，实际为 \3"),
    (r"(.+): expected (\{.*\}), candidate (.+), answer (.+)", r"\1：期望 \2，被测 \3，回答 \4"),
    (r"(.+): candidate (\{.*\}|None), reference (\{.*\}|None)", r"\1：被测 \2，参考 \3"),
    (r"(.+): (\d+) of (\d+) rows differ", r"\1：\3 行中有 \2 行不同"),
    (
        r"(.+): goes on for (\d+) tokens after the stop token (.+) at position (\d+)",
        r"\1：在位置 \4 的停止 token \3 之后又生成 \2 个 token",
    ),
    (
        r"(.+): ends after (\d+) of (\S+) tokens without a stop token",
        r"\1：在 \3 个 token 中的第 \2 个之后结束，没有停止 token",
    ),
    (r"(.+): has (\d+) tokens, at most (\S+) were asked for", r"\1：有 \2 个 token，最多请求 \3 个"),
    (r"(.+): the engine says it finished by (.+), expected (.+)", r"\1：引擎报告的结束原因为 \2，应为 \3"),
    (
        r"of (\d+) answers the engine does not tell all tokens: their ends are not judged",
        r"引擎未给出 \1 条回答的全部 token：不判定其结尾",
    ),
    (r"answers that repeat themselves as the reference would: (.+)", r"与参考一样自我重复的回答：\1"),
    (r"(\d+) tied", r"\1 个近似并列"),
    # Samples and rates
    (
        rf"(\d+) of (\d+) shows at least {_P} of answers identical to the reference's",
        r"\2 条中 \1 条与参考相同，至少可证明 \3",
    ),
    (
        rf"(\d+) of (\d+) shows at least {_P} of answers identical to the reference's, (\d+) of them up to a tie",
        r"\2 条中 \1 条与参考相同，至少可证明 \3，其中 \4 条仅差近似并列",
    ),
    (rf"(\d+) of (\d+) shows at least {_P}", r"\2 个中 \1 个一致，至少可证明 \3"),
    (r"(\d+) of (\d+) as (\w+)", r"与 \3 相同 \1 / \2"),
    (r"(\d+) of (\d+) as (\w+), (\d+) of (\d+) as (\w+)", r"与 \3 相同 \1 / \2，与 \6 相同 \4 / \5"),
    (
        rf"{_P} with ties is judged \({_P} to {_P}\), not {_P}: rounding alone exchanges tied tokens",
        r"按计入近似并列的 \1（\2 – \3）判定，而非 \4：仅舍入即可互换近似并列的 token",
    ),
    (
        rf"A floor run has {_P} itself: of this model the limit {_P} is broken by rounding alone",
        r"对照运行自身为 \1：该模型仅舍入即超出阈值 \2",
    ),
    (
        rf"A floor run has {_P}: by rounding alone the worst position of this model is near the limit {_P} or beyond "
        r"it",
        r"对照运行为 \1：该模型仅舍入，其最差位置即接近或超出阈值 \2",
    ),
    (r"The gates against the noise floor judge instead", "改由相对噪声基底的判定项判定"),
    (
        r"Floor runs scatter so widely here that only what is (\S+) times their error would fail: that is nearly "
        r"nothing, and so no pass",
        r"此处对照运行过于分散，误差达到其 \1 倍才会不通过：几乎不可能不通过，因此不算通过",
    ),
    (rf"(\d+) positions? cannot show {_P} with 95 % confidence", r"\1 个位置不足以在 95 % 置信度下证明 \2"),
    (rf"(\d+) prompts? cannot show {_P} with 95 % confidence", r"\1 条提示词不足以在 95 % 置信度下证明 \2"),
    (rf"(\d+) (\w+) cannot show {_P} with 95 % confidence", r"\1 个 \2 不足以在 95 % 置信度下证明 \3"),
    (r"(.+ with 95 % confidence|\d+ prompts cannot tell whether .+): use --prompts (\d+)", r"<1>：请使用 --prompts \2"),
    (r"(.+): use --prompts (\d+) or more", r"<1>：请使用 --prompts \2 或更多"),
    (r"This variant has texts of its own: --prompts adds none", "该变体使用自带文本，--prompts 不会增加"),
    (
        r"About (\d+) prompts are needed, and the sets with the reserve hold (\d+): add prompts of your own to a set "
        r"in (.+)",
        r"约需 \1 条提示词，现有提示词集（含备用）共 \2 条：请在 \3 的提示词集中自行添加",
    ),
    (
        r"Above the limit (.+), but (\d+) prompts are too few to call it a failure",
        r"超出阈值 \1，但 \2 条提示词太少，不足以判为不通过",
    ),
    (r"Use more prompts", "请使用更多提示词"),
    (r"(\d+) prompts: at least (\d+) are needed", r"有 \1 条提示词，至少需要 \2 条"),
    (
        r"(\d+) answers of (\d+) tokens or more: at least (\d+) are needed",
        r"不少于 \2 个 token 的回答有 \1 条，至少需要 \3 条",
    ),
    (r"no set has (\d+) prompts", r"没有提示词集达到 \1 条提示词"),
    (
        r"(\d+) prompts cannot tell whether the error grew by more than (\S+) times",
        r"\1 条提示词不足以判断误差是否增长超过 \2 倍",
    ),
    (
        r"(\d+) prompts cannot tell whether flips are more frequent than they were",
        r"\1 条提示词不足以判断 argmax 翻转是否更频繁",
    ),
    # What a run lacks
    (r"this variant uses texts of the suite, given as token ids", "该变体使用套件自带文本，以 token id 给出"),
    (r"this variant uses texts of the suite, which base did not see", "该变体使用套件自带文本，base 未见过"),
    (r"a server does not tell what its modules were made with", "服务器不提供其各模块的构造参数"),
    (r"(\S+) does not let its logits be seen", r"\1 无法获取 logits"),
    (
        r"the engine gives only the k likeliest tokens of each position, no whole rows of logits",
        "引擎只给出每个位置概率最高的 k 个 token，没有完整的 logits",
    ),
    (r"judged by the baseline only, which keeps no whole rows", "仅按基线判定，基线不保存完整的 logits"),
    (r"judged by the baseline only, which keeps no hidden states", "仅按基线判定，基线不保存隐状态"),
    (r"prefill is captured in base and as_served", "仅在 base 和 as_served 中采集 prefill"),
    (r"the engine's prefill path was not captured", "未采集引擎的 prefill 路径"),
    (r"hidden states are kept in base only", "仅在 base 中保存隐状态"),
    (r"no decoder layers were found", "未找到 decoder 层"),
    (r"attentions and MLPs are looked at in base only", "仅在 base 中检查各 attention 与 MLP"),
    (
        r"in float32 the reference's attentions and MLPs round as the candidate's do",
        "float32 下参考的各 attention 与 MLP 与被测的舍入相同",
    ),
    (
        r"the candidate's attentions and MLPs compute as the floor's do",
        "被测的各 attention 与 MLP 与对照运行的计算方式相同",
    ),
    (
        r"what the engine's attentions and MLPs were given and gave could not be seen",
        "无法获取引擎各 attention 与 MLP 的输入与输出",
    ),
    (r"the trace holds no second run", "trace 中没有第二次运行"),
    (r"other batches were not tried", "未测试其他批次"),
    (r"other batches are tried in base and as_served", "仅在 base 和 as_served 中测试其他批次"),
    (r"base and as_served are compared with the reference only", "base 和 as_served 仅与参考比较"),
    (r"the model config has no adapter", "模型配置中没有适配器"),
    (r"the model config has no labels\.pattern", "模型配置中没有 labels.pattern"),
    (r"no prompt has labels", "没有带标签的提示词"),
    (r"the adapter's effect is measured in base and as_served", "仅在 base 和 as_served 中测量适配器的作用"),
    (r"codes of (\S+) in this format are not computed here", r"此处不计算该格式的 \1 量化值"),
    (r"the checkpoint does not ask for quantised activations", "checkpoint 不要求激活值量化"),
    (r"the same weights as base's", "权重与 base 相同"),
    (r"no prompt expects a substring", "没有提示词规定期望子串"),
    (r"no prompt set asks for a format", "没有提示词集规定格式"),
    (r"its tokens were given", "其 token 为给定值"),
    (
        r"the tokens were given, or the checkpoint has no tokenizer\.json",
        "token 为给定值，或 checkpoint 没有 tokenizer.json",
    ),
    (r"the checkpoint has no tokenizer\.json", "checkpoint 没有 tokenizer.json"),
    (r"a baseline is of base", "基线只针对 base"),
    (
        r"the run was held against no baseline: --baseline=create makes one, of a run that passes",
        "本次运行没有可比较的基线：--baseline=create 会由通过的运行建立基线",
    ),
    (r"the engine's log was not read", "未读取引擎日志"),
    (r"a lower bound, of the likeliest tokens that the engine gives", "下界，取自引擎给出的概率最高的 token"),
    (
        r"the floor is that of plain weights, the candidate's are (\S+)",
        r"噪声基底取自未量化的权重，被测权重为 \1",
    ),
    (r"fewer than two floor runs", "对照运行少于两次"),
    (r"without effect here: (.+)", r"此处未生效：<1>"),
    (
        r"asked, not confirmed: nothing in the run shows that (.+) took effect",
        r"已请求，未确认生效：本次运行中没有迹象表明 \1 已生效",
    ),
    (r"asked for (.+), the engine ran with (.+)", r"请求 \1，引擎实际为 \2"),
    (r"the three-way comparison points at (.+)", r"三方对比指向：<1>"),
    # Inputs and weights
    (r"not judged: ([^;]+) \(config\.json does not say\)", r"未判定：\1（config.json 未给出）"),
    (r"not reported: ([^;]+)", r"未报告：\1"),
    (
        r"the engine reported no value that can be compared with its files",
        "引擎未报告可与其文件比较的值",
    ),
    (r"the candidate's change is (\S+) times the reference's", r"被测的变化为参考的 \1 倍"),
    (
        r"(the candidate's change is .+): the engine serves the base model, the adapter is not applied",
        r"<1>：引擎提供的是基础模型，适配器未生效",
    ),
    (
        r"(the candidate's change is .+): is its scale \(lora_alpha / r\) applied twice, or is it another adapter\?",
        r"<1>：是否重复应用了缩放（lora_alpha / r），或者是另一个适配器？",
    ),
    # Baselines and speed
    (r"the baseline is to be replaced: (.+)", r"基线将被替换：\1"),
    (r"the baseline is outdated: (.+)", r"基线已过期：\1"),
    (r"changed since: (.+)", r"自基线以来的改变：\1"),
    (r"(\d+) of the baseline's prompts were not asked", r"基线的提示词中有 \1 条本次未测"),
    (
        r"(\d+) of the baseline's (\d+) positions had seen the same tokens",
        r"基线的 \2 个位置中有 \1 个此前的 token 相同",
    ),
    (r"speed is measured in as_served only", "仅在 as_served 中测量速度"),
    (r"speed was not measured: --performance does", "未测量速度：--performance 会测量"),
    (r"speed was not measured \((.+)\): (.+)", r"未测量速度（\1）：\2"),
    (
        r"the baseline has no speed: --baseline=update with --performance adds it",
        "基线中没有速度：--baseline=update 加 --performance 会添加",
    ),
    (r"cannot be compared with the baseline: (.+)", r"无法与基线比较：\1"),
    (r"(\S+): has no ratio to the baseline's: (.+) in the baseline, (.+) now", r"\1：与基线没有比值：基线 \2，本次 \3"),
    (r"(\S+): was not measured in (.+)", r"\1：未在 \2 中测量"),
    (r"(\S+ \S+) in the baseline, (\S+ \S+) now", r"基线为 \1，现在为 \2"),
    (r"the engine's log is empty", "引擎日志为空"),
    (r"only the beginning of a very long log was read", "日志过长，只读取了开头部分"),
    (r"(\d+) prompt set: error_over_floor judges it", r"只有 \1 个提示词集：由 error_over_floor 判定"),
    (r"(\d+) positions: at least (\d+) are needed", r"有 \1 个位置，至少需要 \2 个"),
    (r"candidate", "被测"),
    (r"reference", "参考"),
    (r"no reason was given", "未给出原因"),
)
