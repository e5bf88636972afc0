"""One run on two machines: what is carried is whole and of the same thing, and judged as if it had been one."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.captures.manifest import MANIFEST, difference, open_capture, tokenizer_digest
from npu_conformance.errors import TraceError
from npu_conformance.machine.storage import write_text
from tests.unit.helpers.captured_runs import TRACES, capture_folder, sealed
from tests.unit.helpers.scenes import Scene
from tests.unit.helpers.suite_runs import MODEL, ROOT, clean_environment, judge


@pytest.fixture
def captured(scene: Scene, tmp_path: Path) -> Path:
    """A candidate's capture of a made-up run."""
    return sealed(capture_folder(scene, tmp_path / "capture"))


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


def pipe(path: Path) -> None:
    """Something that would wait for a writer, in a file's place."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("traces/Model/base/candidate/0001.npy", flip_a_byte, "changed since it was captured"),
        ("traces/Model/rendered.json", flip_a_byte, "changed since it was captured"),
        ("traces/Model/base/candidate/0001.npy", Path.unlink, "missing"),
        ("traces/Model/base/candidate/extra.npy", Path.touch, "was not captured"),
        (MANIFEST, pipe, "it is a named pipe, expected a regular file; copy the folder again"),
        (MANIFEST, Path.unlink, "its capture was not finished"),
        (MANIFEST, lambda path: path.write_text(path.read_text()[:-30]), "invalid JSON: .*; copy the folder again"),
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


def link_a_folder(capture: Path, name: str) -> str:
    """One more beside those that are there, such as a floor run of the noise floor."""
    there = capture / TRACES / "base" / "candidate"
    (there.parent / name).symlink_to(there, target_is_directory=True)
    return name


def link_a_file(capture: Path, name: str) -> str:
    """Put a file elsewhere, and a link to it, with the same content, in its place."""
    there, elsewhere = capture / TRACES / "base" / "candidate" / "0001.npy", capture.parent / name
    there.rename(elsewhere)
    there.symlink_to(elsewhere)
    return there.name


def link_to_nothing(capture: Path, name: str) -> str:
    """What was linked to did not come along."""
    (capture / name).symlink_to(capture.parent / "nowhere")
    return name


@pytest.mark.parametrize("link", [link_a_folder, link_a_file, link_to_nothing])
def test_links_are_refused_by_name(scene: Scene, captured: Path, link: Callable[[Path, str], str]) -> None:
    """A copy would find behind them what nobody sealed; nor is a folder with one sealed."""
    name = link(captured, "extra")

    with pytest.raises(TraceError, match=f"{name}: is a link"):
        open_capture(captured)
    again = capture_folder(scene, captured.parent / "again")
    with pytest.raises(TraceError, match=f"{link(again, 'other')}: is a link"):
        sealed(again)
    assert not (again / MANIFEST).exists()


def test_what_is_no_file_is_refused_by_name(captured: Path) -> None:
    """It has no checksum."""
    os.mkfifo(captured / "pipe")

    with pytest.raises(TraceError, match="pipe: is neither a file nor a folder"):
        open_capture(captured)


@pytest.mark.parametrize("place", ["../secret", "traces/../../secret", "/secret"])
def test_a_manifest_names_nothing_outside_its_folder(captured: Path, place: str) -> None:
    """Not even one whose digest is right and where such a file is."""
    (captured.parent / "secret").touch()
    manifest = open_capture(captured)
    files = manifest.files | {place: hashlib.sha256().hexdigest()}
    write_text(captured / MANIFEST, manifest.model_copy(update={"files": files}).sealed().model_dump_json())

    with pytest.raises(
        TraceError, match=f"{MANIFEST}: files: .*'{place}' leads out of the folder; copy the folder again"
    ):
        open_capture(captured)


@pytest.mark.parametrize("name", ["..", "../x", "/x", "x/../..", ""])
@pytest.mark.parametrize(("field", "place"), [("model", "model"), ("variants", r"variants\.0")])
def test_models_and_variants_are_names(captured: Path, field: str, place: str, name: str) -> None:
    """They become folders."""
    manifest = open_capture(captured)
    changed = manifest.model_copy(update={field: name if field == "model" else (name,)}).sealed()
    write_text(captured / MANIFEST, changed.model_dump_json())

    with pytest.raises(TraceError, match=f"{MANIFEST}: {place}: string should match pattern .*; copy the folder again"):
        open_capture(captured)


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
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {}, "merges": []}}')
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
    code = "import sys; from npu_conformance.__main__ import main; sys.exit(main())"
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

    judged = run("merge", str(carried), str(second), f"--reports={reports}")
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
    forced = run("capture", MODEL, f"--tokens={carried}", "-o", str(tmp_path / "gpu"), *subject)
    assert forced.returncode == 0, forced.stderr
    engines = run("merge", str(carried), str(tmp_path / "gpu"))
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
    tampered = run("merge", str(carried), str(second), f"--reports={reports}")
    assert tampered.returncode == 1
    assert "0003.npy: changed since it was captured" in tampered.stderr
