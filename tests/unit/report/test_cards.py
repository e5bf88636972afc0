"""Model cards: ready to be pasted, every table that published reports have, the same figures in both languages."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from npu_conformance.audit.audit import Audit
from npu_conformance.audit.statistics import TensorStatistics
from npu_conformance.report.cards.card import card
from npu_conformance.report.cards.front_matter import front_matter
from npu_conformance.report.cards.markdown import cell, code
from npu_conformance.report.model import Report
from npu_conformance.report.renderers.card import cards, render
from npu_conformance.report.sections.serve import commands, options
from npu_conformance.report.sections.view import View
from npu_conformance.report.words import LANGUAGES, Language, word
from npu_conformance.report.words.parameters import PARAMETERS
from tests.unit.helpers.finished_reports import check, failing_report, green_report
from tests.unit.helpers.report_runs import Runs, exchanged
from tests.unit.helpers.seed_tables import SEED_TABLES, missing
from tests.unit.helpers.suite_runs import ROOT

LINES = 300
"""Of a card, at most."""
LINT = ROOT / "node_modules" / ".bin" / "markdownlint-cli2"
"""Put there by `npm install --no-save markdownlint-cli2`."""
HOSTILE = "a | b\n| c | <script>x</script> [l](http://e) `q` **w** ~~s~~ $x$ # h _i_ ``` " + "z" * 10_000


@pytest.fixture
def report(runs: Runs) -> Report:
    """Base with all that details can have, and a variant that fails."""
    runs.variant("graph", change=exchanged)
    made = runs.report()
    facts = made.models[0].facts
    assert facts is not None
    facts.conversion = {"scheme": "gptq", "dtype": "float16", "relative_rms_error": 0.01}
    return made


def text(report: Report, language: Language) -> str:
    """The card of the first model."""
    return "\n".join(card(report, report.models[0], language))


def like(report: Report, name: str) -> Report:
    """The report with what the files of such a model have."""
    base, facts = report.models[0].variants[0], report.models[0].facts
    assert facts is not None
    facts.architecture = {**dict.fromkeys(PARAMETERS, 4), "architecture": "Qwen3ForCausalLM", "dtype": "bfloat16"}
    base.reference["setting"] = {"dtype": "float32"}
    base.candidate["asked"] = {"tensor_parallel_size": 1}
    scales = ("min_scale", "mean_scale", "max_scale", "max_absolute_error", "relative_rms_error")
    facts.conversion = {"scheme": "gptq", "dtype": "float16"} | dict.fromkeys(scales, 0.01)
    common = {"parameters": 4, "exact": 4, "broken": 0, "max_abs": 0.1, "mean_abs": 0.01, "allowed": 0.1}
    facts.audit = Audit.model_validate(common | {"relative_rms": 0.01, "worst": [], "problems": []})
    numbers = {"mean": 0.0, "std": 0.1, "min": -1.0, "max": 1.0, "operator_norm": 28.0}
    tensor = {"name": "model.layers.0.mlp.up_proj.weight", "shape": (4, 4), "dtype": "F16", "of": "values"} | numbers
    facts.weights_shown = [TensorStatistics.model_validate(tensor)]
    for variant in ("as_served", "chunked_prefill", "prefix_caching"):
        report.models[0].checks.append(check("token_agreement", variant))
        report.models[0].variants.append(base.model_copy(update={"variant": variant, "token_rows": None}))
    if name != "Qwen3Guard-Gen-4B":
        base.labels = []
    if name == "Qwen3.5-4B-Condenser":
        facts.adapter = facts.adapter_model = "Some/Lora"
    return report


@pytest.mark.parametrize("name", SEED_TABLES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_has_every_table_of_the_published_report(report: Report, name: str, language: Language) -> None:
    """Under its heading, with its rows and columns; what is not there is named."""
    card_lines = text(like(report, name), language).splitlines()

    assert missing(card_lines, name, language) == []
    gone = [line for line in card_lines if line != f"## {word(language, 'metrics')}"]
    assert any(word(language, "metrics") in one for one in missing(gone, name, language)) == (
        any(key == "metrics" for _, key, _ in SEED_TABLES[name])
    )


def test_both_languages_have_the_same_figures(report: Report) -> None:
    """Row for row, number for number."""
    english, chinese = (
        [re.findall(r"\d[\d.,e+-]*", line) for line in text(report, language).splitlines() if line.startswith("| ")]
        for language in LANGUAGES
    )

    assert len(english) == len(chinese) > 60
    different = [pair for pair in zip(english, chinese, strict=True) if pair[0] != pair[1]]
    # What a variant changes, and why a check is open, are said in words that may spell a number another way.
    assert len(different) <= 2, different


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_card_is_no_longer_than_it_may_be(report: Report, language: Language) -> None:
    """Whatever the number of prompts; what is left out is counted, and its file named."""
    prompts = report.models[0].variants[0].prompts
    report.models[0].variants[0].prompts = prompts * 40
    shown = text(report, language)

    assert len(shown.splitlines()) <= LINES
    assert re.search(r"113 .*`details", shown)


def test_every_figure_has_its_n_and_limit(report: Report) -> None:
    """No row of the figures without either, but those that are only shown."""
    rows = text(report, "en").split("## Precision metrics\n")[1].split("\n## ")[0].splitlines()[3:]
    cells = [[one.strip() for one in row.strip("|").split(" | ")] for row in rows if row.startswith("|")]

    assert len(cells) > 8
    assert all(n.isdigit() for _, _, _, _, n, _, _ in cells)
    assert all((limit == "—") == (verdict == "—") for _, _, _, limit, _, _, verdict in cells)


def test_the_entry_has_all_models_in_short(tmp_path: Path) -> None:
    """A table, a link a card, and no more than a screen or two of each; of one model it is its card."""
    made = failing_report()
    files = {path.name for path in render(made, tmp_path)}
    shown = (tmp_path / "report.md").read_text(encoding="utf-8")

    assert {f"{model.name}.md" for model in made.models} | {"report.md", "report.zh.md"} <= files
    for model in made.models:
        assert f"({model.name}.md)" in shown
    assert len(shown.splitlines()) < 150
    alone = made.model_copy(update={"models": made.models[:1]})
    assert cards(alone, "en") == "\n".join(card(alone, made.models[0], "en"))


def test_text_from_outside_is_only_text(report: Report) -> None:
    """A prompt cannot add rows, columns, markup, formulas or the end of a fence."""
    shown = cell(HOSTILE)

    assert "\n" not in shown
    assert not re.search(r"(?<![\\&])[|`*\[\]~#$<>]", shown)
    assert "://" not in shown
    assert "\\_i\\_" in shown
    assert cell("model.layers_over_floor") == "model.layers_over_floor"
    assert cell("https://a.b/#c @d") == "https:&#47;/a.b/\\#c &#64;d"
    assert code("a\n```\nb")[0] == "````bash"

    before = text(report, "en").count("\n|")
    report.models[0].variants[0].prompts[0].text = HOSTILE
    report.models[0].variants[0].prompts[0].answer = HOSTILE
    assert text(report, "en").count("\n|") == before
    assert "<script>" not in text(report, "en")


def test_options_are_those_of_vllm_serve() -> None:
    """Flags that are on and off, JSON in quotes, nothing for what was left to the engine."""
    asked = {"dtype": "bfloat16", "max_model_len": 8192, "enforce_eager": True, "async_scheduling": False, "seed": None}

    assert options(asked) == ["--dtype bfloat16", "--max-model-len 8192", "--enforce-eager", "--no-async-scheduling"]
    assert options({"hf_overrides": {"a": 1}}) == ["""--hf-overrides '{"a": 1}'"""]


def test_what_is_served_is_what_was_judged(report: Report) -> None:
    """The weights as they were converted, with the LoRA; own weights are not fetched from anywhere."""
    facts = report.models[0].facts
    assert facts is not None
    facts.model, facts.adapter, facts.adapter_model = "Org/Base", "/cache/twins/lora-1234", "Other/Lora"
    assert commands(facts, {"dtype": "float16"}).splitlines() == [
        "modelscope download --model Org/Base --local_dir ./Base",
        "npu-conformance dev convert ./Base ./Base-float16 --dtype float16",
        "modelscope download --model Other/Lora --local_dir ./Lora",
        "vllm serve ./Base-float16 \\",
        "  --dtype float16 \\",
        "  --lora-modules Lora=./Lora",
    ]
    assert "/cache" not in text(report, "en").split("## How to serve")[1].split("## Known limits")[0]

    facts.own_weights, facts.weights, facts.adapter, facts.adapter_model = True, "/mine/tuned", None, None
    assert commands(facts, {}) == "vllm serve ./tuned"
    assert "not the published" in text(report, "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_twin_is_one_before_any_figure(report: Report, language: Language) -> None:
    """In the title, and in a sentence; a card pasted somewhere is read from its top."""
    report.models[0].subject = "twin"
    title, _, note, *rest = text(report, language).splitlines()

    assert "(twin)" in title
    assert note == word(language, "twin_note")
    assert any(line.startswith("> ") for line in rest)
    report.models[0].subject = "real"
    assert "twin" not in text(report, language).splitlines()[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pass_of_a_part_says_so_below_the_conclusion(report: Report, language: Language) -> None:
    """Once, and before any table: it is published on its own."""
    report.models[0].not_judged = ["as_served: labels", "tp2: labels"]
    note = word(language, "partial_note").format(count=2)
    head, *rest = text(report, language).split("\n## ")

    assert head.rstrip().endswith(note)
    assert note not in "".join(rest)
    report.models[0].not_judged = []
    assert word(language, "partial_note").split("{")[0] not in text(report, language)


def test_a_card_names_no_file_that_is_not_there(report: Report) -> None:
    """A model that was skipped has no picture."""
    green = green_report()
    skipped = next(model for model in green.models if not model.variants)

    assert "Model.png" in text(report, "en")
    assert f"{skipped.name}.png" not in "\n".join(card(green, skipped, "en"))


def test_cards_lint(report: Report, tmp_path: Path) -> None:
    """With markdownlint, but for the length of lines: a table's row is one."""
    if not LINT.exists() or shutil.which("node") is None:
        pytest.skip("markdownlint-cli2 is not installed: npm install --no-save markdownlint-cli2")
    report.models[0].variants[0].prompts[0].text = HOSTILE
    for name, made in {"one": report, "green": green_report(), "failing": failing_report()}.items():
        (tmp_path / name).mkdir()
        render(made, tmp_path / name)
    rules = '{"config": {"MD013": false, "MD024": {"siblings_only": true}, "MD060": false}}'
    (tmp_path / ".markdownlint-cli2.jsonc").write_text(rules)
    done = subprocess.run([LINT, "**/*.md"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_front_matter_says_only_what_is_known(report: Report, tmp_path: Path) -> None:
    """A twin has no base model; the licence is for its owner to state; a file that is pasted has it, a summary not."""
    model = report.models[0]
    assert model.facts is not None
    twin = yaml.safe_load("\n".join(front_matter(View(report, model, "en"))[1:-2]))
    model.subject, model.facts.model = "real", "Qwen/Qwen3-8B"
    model.variants[0].candidate["platform"] = "npu"
    real = yaml.safe_load("\n".join(front_matter(View(report, model, "en"))[1:-2]))
    render(report, tmp_path)

    assert "base_model" not in twin
    assert "twin" in twin["tags"]
    assert real == {
        "base_model": "Qwen/Qwen3-8B",
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        "tags": ["vllm", "precision", "ascend", "npu"],
    }
    assert (tmp_path / "Model.md").read_text(encoding="utf-8").startswith("---\nbase_model: ")
    assert (tmp_path / "report.md").read_text(encoding="utf-8").startswith("# ")
    assert front_matter(View(green_report(), green_report().models[-1], "en")) == []


def test_what_failed_is_never_cut(report: Report) -> None:
    """A prompt with another token and a gate that fails stand in the card, wherever they stood in their table."""
    base = report.models[0].variants[0]
    odd = base.prompts[0].model_copy(update={"text": "the odd one", "matches": 0, "first_divergence": 0})
    base.prompts = [*base.prompts * 6, odd]
    gates = [place for place, one in enumerate(report.models[0].checks) if one.p_value is not None]
    last = report.models[0].checks[gates[-1]]
    assert last.variant != "base" or len(gates) > 6
    own = max(place for place in gates if report.models[0].checks[place].variant == "base")
    report.models[0].checks[own] = report.models[0].checks[own].model_copy(update={"verdict": "fail"})
    shown = text(report, "en")

    assert "the odd one" in shown
    gate_rows = shown.split(f"## {word('en', 'gates')}\n")[1].split("\n## ")[0]
    assert "❌ fail" in gate_rows
    assert "more gates pass" in gate_rows


def test_a_deep_model_shows_a_dozen_layers(report: Report) -> None:
    """The first, the last, some between, and the worst."""
    base = report.models[0].variants[0]
    layer = base.layers[0]
    base.layers = [
        layer.model_copy(update={"point": f"model.layers.{number}", "relative_l2": 0.5 if number == 33 else 0.001})
        for number in range(64)
    ]
    rows = text(report, "en").split(f"## {word('en', 'published_layers')}\n")[1].split("\n## ")[0]

    assert rows.count("| model.layers.") <= 13
    for number in (0, 33, 63):
        assert f"| model.layers.{number} |" in rows
    assert "layers between them are left out" in rows
