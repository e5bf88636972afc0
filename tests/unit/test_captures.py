"""One run on two machines: what is carried is whole and of the same thing, and judged as if it had been one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.captures.manifest import MANIFEST, difference, open_capture, seal, tokenizer_digest
from npu_conformance.cli import main
from npu_conformance.errors import TraceError
from npu_conformance.report.details import SubjectFacts
from npu_conformance.storage import write_json

from .conftest import Scene
from .suite_runs import MODEL, ROOT, clean_environment, judge


@pytest.fixture
def captured(scene: Scene, tmp_path: Path) -> Path:
    """A candidate's capture of a made-up run."""
    folder, weights = tmp_path / "capture", tmp_path / "weights"
    traces = folder / "traces" / "Model"
    shutil.copytree(scene.folder / "candidate", traces / "base" / "candidate")
    weights.mkdir()
    (weights / "tokenizer.json").write_text("{}")
    rendered = {
        "eos_token_ids": [0],
        "prompts": [prompt.model_dump() for prompt in scene.prompts],
        "prompt_ids": [[1, 2, 3], [1, 2, 4], [1, 2, 5]],
        "chat": [False] * 3,
    }
    write_json(traces / "rendered.json", rendered)
    facts = SubjectFacts(
        kind="real",
        model="a/b",
        hardware=None,
        weights=str(weights),
        weights_digest="w",
        reference_weights=str(weights),
        reference_digest="r",
        config_digest="c",
        architecture={},
    )
    write_json(traces / "subject.json", facts.model_dump(mode="json"))
    seal(folder, "candidate", "Model", ("base",), traces / "rendered.json", facts)
    return folder


def test_a_whole_folder_opens(captured: Path, tmp_path: Path) -> None:
    """Also where it was carried to."""
    moved = shutil.move(captured, tmp_path / "elsewhere" / "capture")

    manifest = open_capture(Path(moved))
    assert manifest.variants == ("base",)
    assert difference(manifest, manifest) is None


def flip_a_byte(path: Path) -> None:
    """In the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("traces/Model/base/candidate/0001.npy", flip_a_byte, "changed since it was captured"),
        ("traces/Model/rendered.json", flip_a_byte, "changed since it was captured"),
        ("traces/Model/base/candidate/0001.npy", Path.unlink, "missing"),
        ("traces/Model/base/candidate/extra.npy", Path.touch, "was not captured"),
        (MANIFEST, Path.unlink, "its capture was not finished"),
        (MANIFEST, lambda path: path.write_text(path.read_text()[:-30]), "damaged"),
        (MANIFEST, lambda path: path.write_text(path.read_text().replace('"Model"', '"Other"')), "digest"),
        (
            MANIFEST,
            lambda path: path.write_text(path.read_text().replace('"Model"', '"../../x"')),
            "should match pattern",
        ),
    ],
)
def test_what_was_changed_is_refused_by_name(
    captured: Path, name: str, change: Callable[[Path], None], told: str
) -> None:
    """Every file counts."""
    change(captured / name)

    with pytest.raises(TraceError, match=rf"{Path(name).name}: .*{told}") as caught:
        open_capture(captured)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("prompts", "not the same prompts"),
        ("tokenizer", "not the same tokenizer"),
        ("prompt_ids", "not the same prompts' token ids"),
        ("reference_weights", "not the same published weights"),
        ("adapter", "not the same LoRA"),
        ("metrics_version", "not the same version of the metrics"),
        ("model", "not the same model"),
        ("subject", "not the same subject"),
    ],
)
def test_what_cannot_be_compared_is_said(captured: Path, field: str, told: str) -> None:
    """By the first thing that differs."""
    manifest = open_capture(captured)

    assert told in (difference(manifest, manifest.model_copy(update={field: "other"})) or "")


def test_the_tokenizer_is_that_of_its_files(tmp_path: Path) -> None:
    """Their names and bytes; the weights are another digest's."""
    (tmp_path / "tokenizer.json").write_text("{}")
    before = tokenizer_digest(tmp_path)

    (tmp_path / "model.safetensors").write_text("x")
    assert tokenizer_digest(tmp_path) == before
    (tmp_path / "chat_template.jinja").write_text("x")
    assert tokenizer_digest(tmp_path) != before


def test_a_reference_needs_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It scores what somebody chose."""
    words = ["capture", MODEL, "--reference", "--twin", "-o", str(tmp_path / "b"), "--reports", str(tmp_path)]

    assert main([*words, "--configs", str(ROOT / "model_configs")]) == 4
    assert "--tokens DIR" in capsys.readouterr().err


def run(*words: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: another machine's."""
    environment = clean_environment(**({} if cache is None else {"NPU_CONFORMANCE_CACHE": str(cache)}))
    code = "import sys; from npu_conformance.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)


def checks(report: Path) -> list[dict[str, Any]]:
    """Of the one model, in an order of their own."""
    (model,) = json.loads((report / "report.json").read_text(encoding="utf-8"))["models"]
    return sorted(model["checks"], key=lambda check: (check["variant"], check["check"], check["path"], check["metric"]))


@pytest.mark.engine
@pytest.mark.slow
def test_two_machines_give_the_verdict_of_one(twin: Path, tmp_path: Path) -> None:
    """Bit for bit; other tokens, prompts and tokenizers are refused by name."""
    first, carried, second, reports = (tmp_path / name for name in ("a", "carried", "b", "reports"))
    subject = ("--twin", "--prompts=8", f"--reports={reports}")
    made = run("capture", MODEL, "-o", str(first), *subject)
    assert made.returncode == 0, made.stderr
    shutil.move(first, carried)
    scored = run("capture", MODEL, "--reference", f"--tokens={carried}", "-o", str(second), *subject)
    assert scored.returncode == 0, scored.stderr
    assert not list(second.glob("traces/*/*/candidate"))

    judged = run("compare", str(carried), str(second), f"--reports={reports}")
    assert judged.returncode in (0, 1), judged.stderr
    one = judge(tmp_path / "one", "--twin", "--prompts=8", "-k", f"{MODEL}-base or {MODEL}-as_served")
    assert checks(reports / "latest") == checks(tmp_path / "one" / "latest")
    assert one.status == judged.returncode
    assert one.model()["verdict"].upper() in judged.stdout

    fewer = run(
        "capture", MODEL, "--reference", f"--tokens={carried}", "-o", str(tmp_path / "c"), "--twin", "--prompts=7"
    )
    assert fewer.returncode == 1
    assert "not the same prompts" in fewer.stderr
    walked = run("capture", MODEL, f"--tokens={carried}", "-o", str(tmp_path / "gpu"), *subject)
    assert walked.returncode == 0, walked.stderr
    engines = run("compare", str(carried), str(tmp_path / "gpu"))
    assert engines.returncode == 0, engines.stderr
    assert "cosine_min" in engines.stdout
    cache = tmp_path / "cache"
    shutil.copytree(twin, cache / "twins" / twin.name)
    (cache / "twins" / twin.name / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    other = run(
        "capture", MODEL, "--reference", f"--tokens={carried}", "-o", str(tmp_path / "d"), *subject, cache=cache
    )
    assert other.returncode == 1
    assert "not the same tokenizer" in other.stderr
    flip_a_byte(carried / "traces" / MODEL / "base" / "candidate" / "0003.npy")
    tampered = run("compare", str(carried), str(second), f"--reports={reports}")
    assert tampered.returncode == 1
    assert "0003.npy: changed since it was captured" in tampered.stderr
