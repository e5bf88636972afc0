"""What a new model changes in vllm-ascend: files, and lines in files that are there, as one patch."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from npu_conformance.commands.hand_in import templates
from npu_conformance.commands.hand_in.patch import Tree, patch
from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.commands.plan.matrix import RUNNERS
from npu_conformance.report.cards.markdown import cell

_SIGNS = {"pass": "✅", "fail": "❌"}
_UNTRIED = "🟡"
"""vLLM-Ascend's sign of what was not tested or verified."""
_E2E = "tests/e2e/models/configs/{}.yaml"
_NIGHTLY = "tests/e2e/nightly/single_node/models/configs/{}.yaml"
_TUTORIAL = "docs/source/tutorials/models/{}.md"


class Upstream(NamedTuple):
    """What goes to vllm-ascend."""

    files: dict[str, str]
    """New files, by path."""
    patch: str


def upstream(subject: Subject, tree: Tree) -> Upstream:
    """Files and patch.

    Args:
        subject: of the hand-in.
        tree: that the patch is for.
    """
    name = subject.name
    made = {
        _E2E.format(name): templates.e2e_yaml(subject),
        _NIGHTLY.format(name): templates.nightly_yaml(subject),
        _TUTORIAL.format(name): templates.tutorial(subject),
    }
    there = [path for path in made if path.rpartition("/")[2] in tree.files]
    new = {path: text for path, text in made.items() if path not in there}
    head = [
        *([subject.twin] if subject.twin else []),
        f"Adds {name} to vllm-ascend; made for commit {tree.commit}.",
        "The scores of tasks are .nan until they are measured on an NPU: the test of scores fails until then.",
        *(f"Left out, for the tree has it: {path}" for path in there),
    ]
    return Upstream(made, patch(tree, new, _lines(subject, new), head))


def _lines(subject: Subject, new: dict[str, str]) -> dict[str, Sequence[str]]:
    """What is registered, for those files that are new."""
    name, found = subject.name, dict[str, Sequence[str]]()
    runner = RUNNERS[min((one for one in RUNNERS if one >= subject.cards), default=max(RUNNERS))]
    mark = [f"# {subject.twin}"] if subject.twin else []
    if _E2E.format(name) in new:
        found["accuracy"] = [*mark, f"{name}.yaml"]
        found["nightly_accuracy"] = [
            *(f"      {line}" for line in mark),
            f"      - name: pr-accuracy-{name}",
            f"        os: {runner}",
            "        model_list:",
            f"          - {name}",
        ]
        found["models"] = [f"      {json.dumps(subject.facts.model)},"]
    if _NIGHTLY.format(name) in new:
        found["nightly_single"] = [
            *(f"      {line}" for line in mark),
            f"      - name: {name}",
            f"        os: {runner}",
            f"        config_file_path: {name}.yaml",
        ]
    if _TUTORIAL.format(name) in new:
        key = f"tutorials/models/{name}.md"
        found["navigation"] = [f"        - {key}"]
        found["titles"] = [
            f'    {json.dumps(key)}: {{{json.dumps("en")}: {json.dumps(name)}, "zh": {json.dumps(name)}}},'
        ]
        found["supported"] = [f"    {supported_row(subject)}"]
    return found


def supported_row(subject: Subject) -> str:
    """The row of A2/A3 in the matrix of supported models: what no NPU showed is not verified."""
    shown = {one.name: _SIGNS.get(one.mark, _UNTRIED) for one in subject.states("en")} if subject.on_npu else {}
    passed = subject.on_npu and not subject.twin and subject.model.verdict == "pass"
    half = subject.engine_options.get("dtype") == "bfloat16"

    def sign(name: str) -> str:
        return shown.get(name, _UNTRIED) if not subject.twin else _UNTRIED

    def variant(name: str) -> str:
        ran = [one for one in subject.states("en") if name in one.variants] if subject.on_npu else []
        return _SIGNS.get(ran[0].mark, _UNTRIED) if ran and not subject.twin else _UNTRIED

    note = "twin, not the model" if subject.twin else "" if subject.on_npu else f"run on {subject.platform} only"
    columns = (
        subject.name, "🔵" if passed else _UNTRIED, note,
        "✅" if passed and half else _UNTRIED, subject.facts.hardware or "A2/A3",
        "✅" if passed and subject.config.scheme == "w8a8" else _UNTRIED,
        sign("Chunked prefill"), sign("Prefix caching"), sign("LoRA"), sign("Speculative decoding"),
        variant("async_scheduling"), sign("Tensor parallel (TP)"), variant("pp2"), sign("Expert parallel (EP)"),
        variant("dp2"), _UNTRIED, variant("graph_piecewise"), variant("graph_full"),
        str(subject.engine_options.get("max_model_len", "")),
        f"[{subject.name}](../../tutorials/models/{subject.name}.md)",
    )  # fmt: skip
    return "| " + " | ".join([*(cell(one) if one else "" for one in columns[:-1]), columns[-1]]) + " |"
