"""`deliver`: complete, marked as a twin's where it is one, nothing that was not measured, whole or not at all."""

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from npu_conformance.__main__ import main
from npu_conformance.commands.hand_in.command import verify
from npu_conformance.commands.hand_in.data import LARGEST, read_data
from npu_conformance.commands.hand_in.deliver import deliver
from npu_conformance.commands.hand_in.manifest import read_manifest
from npu_conformance.commands.hand_in.published import DATA
from npu_conformance.commands.hand_in.verify import findings
from npu_conformance.config.limits import FALSE_ALARMS
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.machine.storage import sha256
from tests.unit.helpers.baseline_runs import baseline_of
from tests.unit.helpers.hand_ins import MODEL, delivered, edit_report, judged_run, run_of
from tests.unit.helpers.scenes import clean_scene

EXPECTED = {
    "README.md", "README.en.md", "适配报告.md", "RUNBOOK.md", "precision_report.json", "report.json", "manifest.json",
    "inference.py", "serve_base.sh", "docker_run.sh", "requirements.txt", "vllm-ascend.patch", "details.md",
    "details.zh.md", "Model.html", "Model.zh.html", "Model.png", "evidence/data.json.gz", "evidence/Model.yaml",
    "evidence/prompts/set.yaml", "logs/Model-base.log", "vllm-ascend/tests/e2e/models/configs/Model.yaml",
    "vllm-ascend/tests/e2e/nightly/single_node/models/configs/Model.yaml",
    "vllm-ascend/docs/source/tutorials/models/Model.md",
}  # fmt: skip


def files(folder: Path) -> dict[str, Path]:
    """All of it by path."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_there_and_named_in_the_manifest(tmp_path: Path) -> None:
    """With their digests; scripts can be run."""
    found = delivered(run_of(tmp_path))

    assert set(files(found)) == EXPECTED
    assert read_manifest(found).files == {
        name: sha256(path) for name, path in files(found).items() if name != "manifest.json"
    }
    assert all(path.stat().st_mode & 0o111 for path in found.glob("*.sh"))
    assert (found / DATA).stat().st_size < LARGEST


def test_every_file_of_a_twin_says_that_it_is_one(tmp_path: Path) -> None:
    """Also in the picture's own description; none of a real model does."""
    silent = [name for name, path in files(delivered(run_of(tmp_path))).items() if b"twin" not in content(path)]
    assert silent == []


def test_no_file_of_a_real_model_says_that_it_is_a_twins(tmp_path: Path) -> None:
    """The note on twins is nowhere."""
    found = files(delivered(run_of(tmp_path, "real")))
    assert [name for name, path in found.items() if b"TWIN" in path.read_bytes()] == []


def content(path: Path) -> bytes:
    """What a file says, in small letters."""
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).lower()


def test_what_was_not_measured_is_said_so(tmp_path: Path) -> None:
    """No score, no latency, no NPU; the test of scores cannot pass before somebody measured them."""
    found = delivered(run_of(tmp_path))
    report = (found / "适配报告.md").read_text(encoding="utf-8")
    scores = yaml.safe_load((found / "vllm-ascend/tests/e2e/models/configs/Model.yaml").read_text(encoding="utf-8"))

    assert report.count("未测") > 8
    assert re.search(r"\| NPU 数量 \| 未测", report)
    values = [one["value"] for task in scores["tasks"] for one in task["metrics"]]
    assert len(values) == 2
    assert all(value != value for value in values)
    short = json.loads((found / "precision_report.json").read_text(encoding="utf-8"))
    assert short["not_measured"] == ["task scores", "latency", "throughput"]
    assert short["subject"] == "twin"


def test_a_model_that_fails_is_handed_in_as_one_that_fails(tmp_path: Path) -> None:
    """In words, figures and the gates' own, which follow from its data all the same."""
    (tmp_path / "scene").mkdir()
    scene = clean_scene(tmp_path / "scene")
    scene.edit_logits("candidate", 1, lambda rows: rows * np.float32(1.2))
    found = delivered(judged_run(scene, tmp_path))
    short = json.loads((found / "precision_report.json").read_text(encoding="utf-8"))

    assert short["verdict"] == "FAIL"
    assert "❌" in (found / "README.md").read_text(encoding="utf-8").split("## ")[0]
    assert {one.status for one in findings(found)} == {"follows", "cannot be checked"}


def test_a_folder_that_is_there_is_refused(tmp_path: Path) -> None:
    """Nothing in it is touched."""
    folder = run_of(tmp_path)
    (folder / "out").mkdir()

    with pytest.raises(ConfigError, match="is there already"):
        delivered(folder)
    assert list((folder / "out").iterdir()) == []


def test_a_config_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    """A hand-in says nothing that was not measured; nothing is left of it."""
    folder = run_of(tmp_path)
    with (folder / "configs" / "Model.yaml").open("a") as file:
        file.write("max_tokens: 7\n")

    with pytest.raises(ConfigError, match=r"is not the config that .* judged"):
        delivered(folder)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: shutil.rmtree(run / "traces"), "is not there"),
        (lambda run: (run / "traces/Model/base/candidate/0001.npy").unlink(), "missing"),
        (lambda run: (run / "report.json").unlink(), "no report here"),
    ],
)
def test_a_run_that_lacks_something_is_refused(tmp_path: Path, damage, told: str) -> None:  # type: ignore[no-untyped-def]
    """By name, and nothing is left of it."""
    folder = run_of(tmp_path)
    damage(folder / "run")

    with pytest.raises(ConformanceError, match=told):
        delivered(folder)
    assert [path.name for path in folder.iterdir() if "out" in path.name] == []


def test_a_report_that_its_traces_do_not_give_is_not_handed_in(tmp_path: Path) -> None:
    """Somebody changed a figure before."""
    folder = run_of(tmp_path)
    path = folder / "run" / "report.json"
    report = json.loads(path.read_text())
    next(one for one in report["models"][0]["checks"] if one["metric"] == "cosine_mean")["observed"] = 0.9999
    path.write_text(json.dumps(report))

    with pytest.raises(ConformanceError, match=r"cosine_mean: observed is 0\.9999, the data give"):
        delivered(folder)
    assert not (folder / "out").exists()


def test_a_model_that_was_not_judged_is_refused(tmp_path: Path) -> None:
    """With the names of those that were."""
    folder = run_of(tmp_path)
    with pytest.raises(ConfigError, match=r"was not judged in .* \(models: Model\): .* --run: no run in .* has it"):
        deliver("Other", folder / "out", folder / "run", folder / "configs", None)


def test_a_later_run_without_base_names_the_run_that_has_it(tmp_path: Path) -> None:
    """As after a run of something else, which `latest` leads to then."""
    folder = run_of(tmp_path)
    later = Path(shutil.copytree(folder / "run", folder / "later"))
    report = json.loads((later / "report.json").read_text())
    report["models"][0]["variants"] = []
    (later / "report.json").write_text(json.dumps(report))

    with pytest.raises(ConformanceError, match=rf"not judged in {later} .* with --run: {folder / 'run'} \(\w+\)$"):
        deliver("Model", folder / "out", later, folder / "configs", None)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both commands, with their exit status."""
    folder = run_of(tmp_path)
    words = [
        "deliver",
        MODEL,
        "-o",
        str(folder / "out"),
        "--run",
        str(folder / "run"),
        "--configs",
        str(folder / "configs"),
    ]

    assert main(words) == 0
    assert "anybody can check it" in capsys.readouterr().out
    assert main(["verify", str(folder / "out")]) == 0
    assert main(words) == 4
    assert main(["verify", str(folder / "nowhere")]) == 4
    assert main(["verify", str(folder / "out"), "--models-root", str(folder / "nowhere")]) == 4
    assert main(["verify", str(folder / "out"), "--reference", "0"]) == 4
    assert main(["verify", str(folder / "run")]) == 1


def test_without_the_weights_the_reference_cannot_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is no failure."""
    found = delivered(run_of(tmp_path, "real"))

    assert verify(found, root=tmp_path, prompts=None, seed=1) == 0
    assert "cannot be checked  reference: no weights of a/b" in capsys.readouterr().out


def test_data_are_the_same_on_every_machine_and_read_back(tmp_path: Path) -> None:
    """Bit for bit, whenever they are written."""
    folder = run_of(tmp_path)
    found = delivered(folder)
    data = read_data(found / DATA)

    assert data.packed() == (found / DATA).read_bytes()
    assert data.digest == data.own_digest()
    assert data.problem() is None
    assert data.bounds == (0, 200, 400, 600)


def quantised(traces: Path) -> None:
    """The run has what quantisation costs by itself."""
    (traces / "base" / "quantised").mkdir()
    shutil.copyfile(traces / "base" / "floor" / "sdpa.npz", traces / "base" / "quantised" / "float32.npz")


@pytest.mark.parametrize("change", [quantised, lambda _: None])
def test_a_quantised_candidate_is_judged_as_its_run_judged_it(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """With a floor of its own arithmetic gates count; without one they are not applicable, again."""
    (tmp_path / "scene").mkdir()
    more = "scheme: w8a8\nreference: {model: a/c}\n"
    folder = judged_run(clean_scene(tmp_path / "scene"), tmp_path, "real", more, change)
    found = list(findings(delivered(folder)))

    gate = next(one for one in found if one.what.startswith("base: error_over_floor: error_over_floor"))
    assert gate.status == "follows"
    assert ("not_applicable" in gate.why) == (change is not quantised)


def test_a_run_with_a_baseline_is_judged_as_its_run_judged_it(tmp_path: Path) -> None:
    """There base has half of its share of false alarms."""
    (tmp_path / "scene").mkdir()
    scene = clean_scene(tmp_path / "scene")
    made = baseline_of(scene.evidence(), model=MODEL)
    place = "baseline.json"
    folder = judged_run(scene, tmp_path, "real", "", lambda traces: (traces / place).write_text(made.text()))
    data = read_data(delivered(folder) / DATA)

    assert data.false_alarms == FALSE_ALARMS / 2


def no_floor(traces: Path) -> None:
    """The run measured no noise floor."""
    shutil.rmtree(traces / "base" / "floor")


def test_a_run_without_a_noise_floor_follows_too(tmp_path: Path) -> None:
    """Its gates are not applicable, and are so again."""
    (tmp_path / "scene").mkdir()
    folder = judged_run(clean_scene(tmp_path / "scene"), tmp_path, "real", "", no_floor)
    found = {one.what: one for one in findings(delivered(folder))}

    assert "does not follow" not in {one.status for one in found.values()}
    assert "not_applicable" in found["base: error_over_floor: error_over_floor"].why
    assert "base: floor_l2" not in found  # nothing follows from nothing


def test_ties_without_a_noise_floor_do_not_follow(tmp_path: Path) -> None:
    """A report publishes them though the data have nothing to tell a tie by."""
    (tmp_path / "scene").mkdir()
    found = delivered(judged_run(clean_scene(tmp_path / "scene"), tmp_path, "real", "", no_floor))
    rate = {"hits": 600, "n": 600, "observed": 1.0, "interval": (0.99, 1.0)}
    told = {"variant": "base", "raw": rate, "adjusted": rate, "ties": 0, "expected_ties": 0, "expected_range": (0, 0)}
    edit_report(found, lambda model: model["variants"][0].update(agreement=told))

    wrong = [one.what for one in findings(found) if one.status == "does not follow"]
    assert wrong == ["base: agreement"]


def test_logs_of_jobs_of_one_name_are_all_handed_in(tmp_path: Path) -> None:
    """A job that was run again, or that two variants name alike; another's keeps its short name."""
    folder = run_of(tmp_path)
    for name in ("Model-base-x2", "Model-scan-x3"):
        (folder / "run" / "logs" / name).mkdir()
        (folder / "run" / "logs" / name / "log.txt").write_text(f"said by {name}\n")
    logs = {path.name: path.read_text() for path in (delivered(folder) / "logs").iterdir()}

    assert set(logs) == {"Model-base-x1.log", "Model-base-x2.log", "Model-scan.log"}
    assert "the engine started" in logs["Model-base-x1.log"]
    assert "said by Model-base-x2" in logs["Model-base-x2.log"]
