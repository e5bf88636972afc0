"""The words of a model's card, in English and Chinese."""

CARDS: dict[str, tuple[str, str]] = {
    "card_title": ("{name}: precision report", "{name} 精度对齐报告"),
    "conclusion": ("Conclusion", "结论"),
    "features": ("Features", "特性支持"),
    "feature": ("Feature", "特性"),
    "remark": ("Remark", "说明"),
    "feature_said": (
        "{agreement} of tokens equal, error {error}, n = {n}",
        "Token 一致率 {agreement}，相对误差 {error}，n = {n}",
    ),
    "the_same": ("the same", "相同"),
    "gates_more": ("{count} more gates pass.", "其余 {count} 项判定均通过。"),
    "layers_more": (
        "{count} layers between them are left out; the worst is shown.",
        "省略其间 {count} 层；误差最大的一层已列出。",
    ),
    "faults_more": ("And {count} more kinds of faults.", "以及另外 {count} 种错误。"),
    "batches_alike": (
        "The same tokens in other batches ({scenarios}): every row bitwise the same (n = {n}).",
        "其他批次中的相同 token（{scenarios}）：所有行均比特级一致（n = {n}）。",
    ),
    "against_published": ("Against the published", "与发布权重比对"),
    "as_expected": ("As expected", "符合期望"),
    "performance": ("Time and memory", "耗时与内存"),
    "note_performance": (
        "Seen in this run, which asks all prompts at once and captures logits: no measurement of speed.",
        "以上为本次运行所见（批量推理并采集 logits），不作为性能数据。",
    ),
    "generate_s": ("Generation, s", "生成（秒）"),
    "n_tokens": ("Tokens", "Token 数"),
    "tokens_per_s": ("Tokens/s", "Token/秒"),
    "peak_memory_gib": ("Host memory, GiB", "主机内存（GiB）"),
    "serve": ("How to serve", "部署方法"),
    "serve_text": (
        "With the options of the variant `{variant}`; weights from ModelScope.",
        "选项与 `{variant}` 变体一致；权重来自 ModelScope。",
    ),
    "serve_own": (
        "With the options of the variant `{variant}`; the weights are the run's own, not the published ones.",
        "选项与 `{variant}` 变体一致；权重为本次运行另行指定，并非发布的权重。",
    ),
    "known_limits": ("Known limits", "已知限制"),
    "limit_no_npu": ("This run used the platform {platform}, no NPU.", "本次运行的平台为 {platform}，未使用 NPU。"),
    "limit_sample": (
        "What passed was judged on {prompts} prompts and {positions} positions, with greedy decoding.",
        "以上结论基于 {prompts} 条提示词、{positions} 个位置，采用贪心解码。",
    ),
    "limit_skipped": ("{name} was skipped: {why}", "跳过 {name}：{why}"),
    "limit_any": (
        "No task scores, no sampling at a temperature and no speed were judged.",
        "未评估任务得分、带温度的采样和推理速度。",
    ),
    "citation": ("Files and citation", "文件与引用"),
    "report_files": ("Files", "文件"),
    "file_json": ("all figures, for scripts", "全部数据，供脚本读取"),
    "file_page": ("the page with charts and the text token by token", "网页报告：图表与逐 token 文本"),
    "file_picture": ("relative error of every position", "每个位置的相对误差"),
    "file_details": ("every section with all that the page folds away", "网页的全部内容，包括折叠部分"),
    "rows_more": ("… and {count} more, in {file}.", "……其余 {count} 行见 {file}。"),
    "cards_text": (
        "Every table in full: [details.md](details.md); charts and tokens: [index.html](index.html). A card a model:",
        "全部表格见 [details.zh.md](details.zh.md)，"
        "图表与逐 token 文本见 [index.zh.html](index.zh.html)。各模型的卡片：",
    ),
    "output_text_match": ("Answers equal to the reference's", "输出文本一致率"),
}
