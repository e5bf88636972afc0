"""The Chinese words of verdicts; report.json and English have the ids."""

VERDICTS: dict[str, str] = {
    "pass": "通过",
    "fail": "不通过",
    "inconclusive": "样本不足，暂无法判定",
    "shown": "仅展示",
    "error": "执行出错",
    "skipped": "跳过",
    "not_applicable": "不适用",
}
