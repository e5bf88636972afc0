"""The section that a contest's grader reads, with its exact names of rows; in Chinese, as the grader wants it.

A row that the run did not measure says so: nothing is made up, and a twin's figures never stand as the model's.
"""

import re

from npu_conformance.report.cards.markdown import cell, table
from npu_conformance.report.cards.steps import step_table
from npu_conformance.report.prompt_rows import LabelRow
from npu_conformance.report.sections.blocks import Cell, Table
from npu_conformance.report.sections.performance import speed_of
from npu_conformance.report.sections.view import View
from npu_conformance.report.values import percent

HEADING = "GPU/CPU 与 NPU 精度对比数据（评分字段）"
NOT_MEASURED = "未测"
_BAR = 0.01
"""The contest's: 1 %."""


def graded(view: View) -> list[str]:
    """The lines of the section."""
    rows = tuple((Cell(name), Cell(entry)) for name, entry in graded_rows(view).items())
    address = _address(view)
    shown = [line.replace(cell(address), address) for line in table(Table("", ("对比项", "数值"), rows), len(rows))]
    found = [f"## {HEADING}", "", *shown, ""]
    scores = tuple(tuple(map(Cell, row)) for row in _scores(view))
    columns = ("数据集", "GPU 参考精度", "NPU 实测精度", "绝对误差", "相对误差", "阈值", "状态")
    found += [*table(Table("", columns, scores), len(scores)), ""]
    steps, told = step_table(view)
    if steps is None:
        return [*found, f"逐步对数概率：{NOT_MEASURED}", ""]
    return [*found, *table(steps, len(steps.rows)), "", told, ""]


def graded_rows(view: View) -> dict[str, str]:
    """What stands in each row, by its name."""
    base, facts, real = view.base, view.model.facts, view.model.subject == "real"
    figures = {
        "max_abs_diff": _figure(view, "max_abs_diff"),
        "mean_abs_diff": _figure(view, "mean_abs_diff"),
        "cosine_similarity": _figure(view, "cosine_mean"),
        "top1_match": _figure(view, "token_agreement"),
        "top5_match": _figure(view, "top5_overlap"),
    }
    error, over = view.find("relative_l2_mean"), view.find("error_over_floor")
    mean = None if error is None else error.observed
    npu = base is not None and base.candidate.get("platform") == "npu"
    said = f"判定：{view.said(view.model.verdict)}；" + (NOT_MEASURED if error is None else f"n = {error.n}")
    if over is not None and over.observed is not None:
        said += f"；误差为舍入噪声的 {over.observed:.3f} 倍"
    said += "" if real else f"；{view.t('twin_note').rstrip('。')}"
    return {
        "参考端": _side(view, "reference"),
        "适配端": _side(view, "candidate") + ("" if npu or base is None else "（非 NPU）"),
        "真实权重加载": "true" if real else "false（小规模替代模型 twin，不代表真实模型）",
        "真实权重路径": facts.weights if real and facts is not None else NOT_MEASURED,
        **figures,
        "match_within_1_percent": NOT_MEASURED if mean is None else "true" if mean <= _BAR else "false",
        "NPU latency_ms": _latency(view),
        "精度误差": NOT_MEASURED if mean is None else percent(mean),
        "误差值": NOT_MEASURED if mean is None else f"{mean:.6g}",
        "判定依据": "float32 参考对相同 token 打分，逐位置 logits 的平均相对 L2 误差 ≤ 1 %",
        "说明": said,
        "原始权重模型地址": _address(view),
        "精度对比日志": "report.json",
    }


def _address(view: View) -> str:
    """Of the published weights; a link in the table, but for a name that is none of a model."""
    facts = view.model.facts
    if facts is None or re.fullmatch(r"[\w.-]+/[\w.-]+", facts.model) is None:
        return NOT_MEASURED
    return f"https://www.modelscope.cn/models/{facts.model}"


def _figure(view: View, name: str) -> str:
    found = view.find(name)
    return NOT_MEASURED if found is None or found.observed is None else f"{found.observed:.6g}（n = {found.n}）"


def _latency(view: View) -> str:
    """P50 of a whole request, one at a time; of the server where the tool without one says nothing of this model."""
    found = speed_of(view)
    for name in ("latency_p50_ms", "single_latency_p50_ms"):
        if found is not None and (figure := found.figures.get(name)) is not None:
            asked, tool = found.workload, found.tool_of(name)
            npu = view.base is not None and view.base.candidate.get("platform") == "npu"
            return (
                f"{figure.value:.4g}（P50，n = {figure.n}，vllm bench {tool}，逐个请求，"
                f"输入 {asked.input_tokens} token，输出 {asked.output_tokens} token，{found.device}"
                f"{'' if npu else '，非 NPU'}）"
            )
    return f"{NOT_MEASURED}（批量推理并采集 logits，不作为延迟数据）"


def _side(view: View, name: str) -> str:
    if view.base is None:
        return NOT_MEASURED
    side = view.base.reference if name == "reference" else view.base.candidate
    versions = side.get("versions", {})
    engine = str(side.get("engine", "—"))
    version = next((f" {one}" for package, one in versions.items() if package.startswith(engine)), "")
    return f"{engine}{version}，{side.get('device', '—')}"


def _scores(view: View) -> list[tuple[str, ...]]:
    """A row a label: how often each side has what was expected."""
    labels = view.base.labels if view.base else []
    names = dict.fromkeys(name for row in labels for name in row.expected)
    rows = [_score(name, [row for row in labels if name in row.expected]) for name in names]
    return rows or [("—", *[NOT_MEASURED] * 5, "—")]


def _score(name: str, rows: list[LabelRow]) -> tuple[str, ...]:
    sides = ([row.reference for row in rows], [row.candidate for row in rows])
    theirs, mine = (
        sum((one or {}).get(name) == row.expected[name] for one, row in zip(side, rows, strict=True)) / len(rows)
        for side in sides
    )
    away = abs(mine - theirs)
    relative = percent(away / theirs) if theirs else "—"
    held = "通过" if theirs and away / theirs <= _BAR else "不通过"
    return f"{name}（n = {len(rows)}）", percent(theirs), percent(mine), percent(away), relative, "≤ 1 %", held
