"""All that a hand-in publishes and that follows from its report, its YAML and its data: the text of each file."""

import tempfile
from pathlib import Path

from npu_conformance.commands.hand_in import templates
from npu_conformance.commands.hand_in.data import HandedData
from npu_conformance.commands.hand_in.patch import Tree
from npu_conformance.commands.hand_in.subject import Subject
from npu_conformance.commands.hand_in.summary import summary
from npu_conformance.commands.hand_in.upstream import upstream
from npu_conformance.report.renderers import render_by, renderer_names

REPORT = "report.json"
DATA = "evidence/data.json.gz"
PATCH = "vllm-ascend.patch"
CARDS = {"README.md": ".zh.md", "README.en.md": ".md"}
"""The card's file, and how the report names it behind the model's name."""
_OF_ONE = (".html", ".zh.html")
_PICTURE = "picture"
_OF_ALL = ("details.md", "details.zh.md")


def yaml_place(name: str) -> str:
    """Where the model's YAML is."""
    return f"evidence/{name}.yaml"


def texts(subject: Subject, data: HandedData, tree: Tree) -> dict[str, str]:
    """Each file of text by its path, but for what is only copied: report, YAML, data and logs.

    Args:
        subject: of the hand-in.
        data: of the same model.
        tree: of vllm-ascend that the patch is for.
    """
    made, tokens = upstream(subject, tree), {one.id: one.token_ids.array().tolist() for one in data.prompts}
    found = {
        "precision_report.json": summary(subject, data),
        "适配报告.md": templates.adaptation(subject),
        "RUNBOOK.md": templates.runbook(subject),
        "inference.py": templates.inference(subject, tokens),
        "serve_base.sh": templates.serve_script(subject, lora=False),
        "docker_run.sh": templates.text("docker_run.sh", subject),
        "requirements.txt": templates.requirements(subject),
        PATCH: made.patch,
        **{f"vllm-ascend/{path}": text for path, text in made.files.items()},
    }
    if subject.lora:
        found["serve_lora.sh"] = templates.serve_script(subject, lora=True)
    return found | {name: one.decode() for name, one in rendered(subject, pictures=False).items()}


def rendered(subject: Subject, *, pictures: bool) -> dict[str, bytes]:
    """The report's own files: cards, pages and tables, or pictures, by their names in the hand-in."""
    name, found = subject.name, dict[str, bytes]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for renderer in renderer_names():
            if (renderer == _PICTURE) == pictures:
                render_by(renderer, subject.report, place)
        if pictures:
            return {path.name: path.read_bytes() for path in place.glob("*.png")}
        for card, ending in CARDS.items():
            end = templates.card_end(subject, zh=card == "README.md")
            found[card] = (place / f"{name}{ending}").read_bytes().rstrip(b"\n") + f"\n\n{end}".encode()
        for file in (*(f"{name}{ending}" for ending in _OF_ONE), *_OF_ALL):
            if (place / file).is_file():
                found[file] = (place / file).read_bytes()
    return found
