"""Reasons with names and numbers in them: as the suite writes them, they have their Chinese."""

from pathlib import Path

import pytest

from npu_conformance.checkpoints.subject import find_weights
from npu_conformance.config.variants.effect import no_effect
from npu_conformance.errors import WeightsError
from npu_conformance.report.words import phrase


def test_reasons_are_said_in_chinese_with_their_names(tmp_path: Path) -> None:
    """As they are written where they come from; English keeps them."""
    without = no_effect({}, ("graph",), {})
    with pytest.raises(WeightsError) as missing:
        find_weights("Org/NotHere", tmp_path)

    assert without is not None
    assert phrase("zh", without) == "graph：本次运行为 0，至少为 1 才说明该特性生效"
    assert phrase("zh", str(missing.value)).startswith(f"找不到 Org/NotHere 的权重：已查找 --models-root {tmp_path}、")
    assert phrase("en", without) == without


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("no traces of A-1 in tp2 in /a b/run", "没有 A-1 的 tp2 变体的 trace（/a b/run）"),
        (
            "no traces of A-1 in /a b/run: run it without --from",
            "没有 A-1 的 trace（/a b/run）：请去掉 --from 重新运行",
        ),
        ("tp2 needs 2 devices, 1 of platform cpu is here", "tp2 需要 2 个设备，此处有 1 个（平台 cpu）"),
        ("nz is an option of platform npu, this one is cpu", "nz 是平台 npu 的选项，当前平台为 cpu"),
        ("something else", "something else"),
    ],
)
def test_a_reason_keeps_its_names(english: str, chinese: str) -> None:
    """And one that is not known stays as it is."""
    assert phrase("zh", english) == chinese
