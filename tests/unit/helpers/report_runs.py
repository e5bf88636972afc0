"""Made-up runs of several variants, and reports of them."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from npu_conformance.checks import CHECKS
from npu_conformance.checks.evidence import Evidence
from npu_conformance.config.model import Limit, ModelConfig
from npu_conformance.config.variants import CATALOGUE
from npu_conformance.machine.storage import write_json
from npu_conformance.measure.results import Result
from npu_conformance.report.details import save_details
from npu_conformance.report.model import Report, Run, build_report
from npu_conformance.report.renderers.markdown import render_markdown
from npu_conformance.report.words.labels import WORDS
from npu_conformance.traces.cases import Case, Flip
from npu_conformance.traces.rows import Rows
from npu_conformance.traces.trace import (
    BOUNDARY,
    PREFILL,
    Answer,
    Trace,
    load_trace,
    save_cases,
    save_modules,
    save_rows,
    save_trace,
)
from tests.unit.helpers.small_traces import MODULES
from tests.unit.helpers.suite_runs import ROOT

if TYPE_CHECKING:
    from tests.unit.helpers.scenes import Scene

PROVENANCE = {
    "engine": "vllm",
    "versions": {"vllm": "0.32.0", "python": "3.11.7"},
    "platform": "cpu",
    "device": "a processor",
    "effective": {"dtype": "bfloat16", "enforce_eager": True},
    "environment": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    "seconds": {"start": 2.0, "generate": 1.5},
}
REFERENCE = {
    "engine": "transformers",
    "versions": {"transformers": "5.19.0"},
    "platform": "cpu",
    "device": "a processor",
    "setting": {"attn_implementation": "sdpa"},
    "seconds": {"total": 4.0},
    "computed": 3,
    "from_cache": 0,
}
FACTS = {
    "kind": "twin",
    "model": "a/b",
    "hardware": "Atlas 800 A2",
    "weights": "/w",
    "weights_digest": "d1",
    "reference_weights": "/w",
    "reference_digest": "d1",
    "config_digest": "c1",
    "architecture": {"hidden_layers": 4},
}
RUN = Run(
    started=datetime(2026, 1, 2, tzinfo=timezone.utc),
    command="pytest --twin",
    versions={"python": "3.11.7"},
    machine={"processor": "a processor"},
    suite=None,
)
# What three prompts of 200 positions can show of a rate.
SHOWABLE = {"token_agreement": Limit(value=0.93, reason="three prompts cannot show more")}
Change = Callable[[Rows], Rows]


def write(
    folder: Path,
    rows: Sequence[Rows],
    answers: tuple[Answer, ...],
    *,
    ends: Sequence[int] = (0,),
    provenance: dict[str, Any] | None = None,
) -> Trace:
    """A trace with these logits for these answers, in place of one that is there."""
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for index, row in enumerate(rows):
        save_rows(folder, index, row)
    once: dict[str, Any] = {"storage": "float32", "repeat_token_ids": None, "repeat_digests": None}
    plain = [dataclasses.replace(answer, **once) for answer in answers]
    save_modules(folder, MODULES)
    save_trace(folder, plain, eos_token_ids=ends, provenance=provenance or {}, forced=True)
    return load_trace(folder)


def unsteady(rows: Rows) -> Rows:
    """Off by one in a thousand, up and down in turn: within the limits, and no more than rounding costs."""
    turns = np.float32(1) + np.float32(0.001) * (1 - 2 * (np.arange(len(rows)) % 2))
    return np.asarray(rows * turns[:, None], dtype=np.float32)


def exchanged(rows: Rows) -> Rows:
    """The largest logit of the first position goes to another token, far ahead."""
    rows[0, another(rows, 5)] = rows[0].max() + 5
    return rows


def another(rows: Rows, away: int = 0) -> int:
    """A token that is not the first position's largest, nor the end of text."""
    return 1 + (int(rows[0].argmax()) + away) % 19


@dataclasses.dataclass
class Runs:
    """A made-up run of several variants, from which a report is made."""

    scene: "Scene"
    folder: Path
    checks: list[Result] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=lambda: ["base", "as_served"])

    @property
    def base(self) -> Trace:
        """Base's candidate."""
        return load_trace(self.scene.folder / "candidate")

    def take(self, evidence: Evidence) -> Evidence:
        """Save the details of a variant and judge it."""
        self.names += [evidence.variant] if evidence.variant not in self.names else []
        facts = FACTS | {"variants": self.names}
        save_details(self.folder, "Model", facts, evidence)
        self.checks += [result for check in CHECKS.values() for result in check.judge(evidence)]
        return evidence

    def variant(self, name: str, change: Change = unsteady, boundary: Change = unsteady, **provenance: Any) -> Evidence:
        """A variant that is made to take base's tokens and block-boundary prompts, with changed logits."""
        base = self.base
        probed = base.part(BOUNDARY)
        assert probed is not None
        rows = [change(base.logits(index).copy()) for index in range(3)]
        told = PROVENANCE | {"effective": {"dtype": "bfloat16"}, "seconds": {"start": 1.25}} | provenance
        trace = write(self.scene.folder / name, rows, base.answers, provenance=told)
        cut = [boundary(probed.logits(index).copy()) for index in range(len(probed.answers))]
        write(trace.folder / BOUNDARY, cut, probed.answers, ends=())
        config = self.scene.config
        if name not in CATALOGUE:
            own = {"name": name, "options": {"max_num_seqs": 2}}
            config = ModelConfig.model_validate(config.model_dump(exclude_unset=True) | {"variants": [own]})
        return self.take(
            dataclasses.replace(
                self.scene.evidence(), variant=name, config=config, candidate=trace, base=self.scene.base()
            )
        )

    def report(self) -> Report:
        """The report of all that was taken."""
        return build_report(self.folder, {"Model": self.checks}, {"Model": "twin"}, RUN, ROOT / "baselines")


def case(**fields: Any) -> Case:
    """A prompt that joined others."""
    common = {"scenario": "alone", "prompt": "set/first", "batch_rows": (0, 0), "positions": 2, "different": 0}
    return Case.model_validate(common | {"first_different": None, "worst": 0, "distance": 0.0, "flips": ()} | fields)


def tell_provenance(scene: "Scene") -> None:
    """Where both sides ran."""
    for side, provenance in (("candidate", PROVENANCE), ("reference", REFERENCE)):
        path = scene.folder / side / "trace.json"
        write_json(path, json.loads(path.read_text()) | {"provenance": provenance})


def showable(scene: "Scene") -> "Scene":
    """The scene with limits that its three prompts are enough for."""
    return dataclasses.replace(scene, config=scene.config.model_copy(update={"limits": SHOWABLE}))


def made_up_runs(scene: "Scene", tmp_path: Path) -> Runs:
    """Base, with its prefill, block-boundary prompts and other batches."""
    tell_provenance(scene)
    candidate = load_trace(scene.folder / "candidate")
    write(candidate.folder / PREFILL, [candidate.logits(index) for index in range(3)], candidate.answers)
    first = dataclasses.replace(candidate.answers[0], prompt="boundary/1 block", token_ids=(1, 2, 3, 4))
    write(candidate.folder / BOUNDARY, [candidate.logits(0)[:4]], (first,), ends=())
    flip = Flip(step=1, token=1, choice=2, margin=5.0, lead=0.1, rms=1.0)
    save_cases(
        candidate.folder,
        [
            case(),
            case(scenario="reordered", different=1, worst=1, distance=0.25, flips=(flip,)),
            case(
                scenario="reordered",
                prompt="set/second",
                copy_number=2,
                distance=0.5,
                different=2,
                flips=(flip.model_copy(update={"margin": 1e-6, "lead": 1e-6}),),
            ),
        ],
    )
    made = Runs(showable(scene), tmp_path / "run")
    made.take(made.scene.evidence())
    return made


def under(text: str, heading: str, language: Literal["en", "zh"] = "en") -> list[str]:
    """The lines of Markdown from the first heading of these words to the next heading."""
    return text.split(f"# {WORDS[heading][language == 'zh']} ·", 1)[1].split("\n#", 1)[0].splitlines()


def line(report: Report, start: str, language: Literal["en", "zh"] = "en", heading: str = "variants") -> list[str]:
    """The cells of the row that begins so, under that heading of details.md."""
    (found,) = [
        row for row in under(render_markdown(report, language), heading, language) if row.startswith(f"| {start} |")
    ]
    return [cell.strip() for cell in found.strip("|").split(" | ")]
