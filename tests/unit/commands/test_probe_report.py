"""A probe's report may be shown to anybody: no host, no user, no path; it is small, and says what was found."""

import getpass
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands.probe import command, scrub
from npu_conformance.commands.probe.engines import KILL, LORA, PLAIN, Start
from npu_conformance.commands.probe.page import markdown, report
from npu_conformance.commands.probe.points import POINTS, Finding
from npu_conformance.commands.probe.seen import Seen
from tests.unit.commands.test_probe_points import GOOD, whole

SECRETS = ("/home/someone/models", "node-17.cluster.example", "node-17", "someone", "10.1.2.3")
LEAKY = (
    "OSError: /home/someone/models/twin/config.json: on node-17.cluster.example (10.1.2.3) someone cannot read "
    "~/secret/weights.bin or '/root'; last of 1/2 on vllm 0.32.0\nlast lines of /home/someone/log.txt:\n  | secret\n"
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with names that are told apart from words."""
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17.cluster.example")
    monkeypatch.setattr(getpass, "getuser", lambda: "someone")


def test_a_text_keeps_what_helps() -> None:
    """The end of a path, the kind of a name, and all else."""
    assert scrub.scrubbed(LEAKY) == (
        "OSError: …/config.json: on <host> (<address>) <user> cannot read …/weights.bin or '/root'; last of 1/2 on "
        "vllm 0.32.0"
    )
    assert scrub.scrubbed({"device": [{"a": "x" * 900, "n": 1.5, "none": None}]}) == {
        "device": [{"a": "x" * 500 + "…", "n": 1.5, "none": None}]
    }


def test_names_that_images_and_packages_have_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """As values, and any name as a key: a report without its versions helps nobody."""
    monkeypatch.setattr(socket, "gethostname", lambda: "npu")
    monkeypatch.setattr(getpass, "getuser", lambda: "vllm")
    content = {"platform": "npu", "versions": {"vllm": "0.18.0", "x": "vllm 0.18.0"}}
    assert scrub.scrubbed(content) == content

    monkeypatch.setattr(getpass, "getuser", lambda: "a")
    assert scrub.scrubbed("a text") == "a text"
    monkeypatch.setattr(getpass, "getuser", lambda: "versions")
    assert scrub.scrubbed({"versions": "of versions"}) == {"versions": "of <user>"}


def test_a_user_without_a_name_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run under a number."""

    def fails() -> str:
        raise KeyError("uid not found: 1001")

    monkeypatch.setattr(getpass, "getuser", fails)
    assert scrub.scrubbed("node-17 says someone") == "<host> says someone"


def starts(*names: str) -> list[Start]:
    """Engines that are not started."""
    pieces = {PLAIN: ("mode", "alone", "hidden", "held"), LORA: ("lora",), KILL: ("killed",)}
    return [Start(name, {}, pieces[name], None) for name in names]


def probed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: dict[str, Seen | str],
    *words: str,
    there: list[Start] | None = None,
) -> int:
    """The command's exit status, over engines that left this."""
    monkeypatch.setattr(command, "all_starts", lambda *_: there or starts(*seen))
    monkeypatch.setattr(command, "_seen", lambda *_: seen)
    monkeypatch.setattr(command, "package_versions", lambda: {"vllm": "0.32.0"})
    configs = tmp_path / "configs"
    configs.mkdir(exist_ok=True)
    return main(["dev", "probe", "--configs", str(configs), "--reports", str(tmp_path / "reports"), *words])


def test_both_forms_tell_the_same_and_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where engines break off with messages full of it."""
    monkeypatch.setenv("VLLM_ASCEND_ENABLE_NZ", "/home/someone/models/2")
    seen: dict[str, Seen | str] = {PLAIN: whole(hidden=None, errors={"hidden": LEAKY}), LORA: LEAKY, KILL: whole()}
    status = probed(tmp_path, monkeypatch, seen, "-o", str(tmp_path / "out.md"))
    text, content = (tmp_path / "out.md").read_text(), json.loads((tmp_path / "out.json").read_text())
    found = {one["id"]: one for one in content["points"]}

    assert status == 1
    assert (found["hidden_states"]["verdict"], found["lora"]["verdict"]) == ("error", "error")
    assert found["memory"]["engines"].keys() == {PLAIN, KILL}
    assert found["lora"]["engines"][LORA]["message"].startswith("OSError: …/config.json")
    for form in (text, (tmp_path / "out.json").read_text()):
        assert not [one for one in (*SECRETS, str(tmp_path), str(Path.home())) if one in form.replace("'/root'", "")]
        assert len(form) < 20_000
    for name, one in found.items():
        assert f"| {name} | **{one['verdict']}** | {one['question']} |" in text
        for engine, finding in one["engines"].items():
            assert f"| {name} | {engine} | {finding['verdict']} | {finding['message']} |" in text


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], {PLAIN: ["sampled_token", "graph_mode", "hidden_states", "memory", "devices"]}),
        (["--points", "memory", "sampled_token"], {PLAIN: ["sampled_token", "memory"]}),
        (["--engines", KILL, "--points", "memory"], {KILL: ["memory"]}),
    ],
)
def test_what_is_right_exits_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], names: dict[str, list[str]]
) -> None:
    """In the probe's own folder, with the points and engines that were asked for."""
    seen: dict[str, Seen | str] = dict.fromkeys((PLAIN, KILL) if words[:1] == ["--engines"] else (PLAIN,), whole())

    assert probed(tmp_path, monkeypatch, seen, *words) == 0
    (path,) = tmp_path.glob("reports/*-probe/probe.json")
    assert path.with_suffix(".md").is_file()
    points = json.loads(path.read_text())["points"]
    (engine, told), *_ = names.items()
    assert [one["id"] for one in points] == told
    assert all(set(one["engines"]) == {engine} for one in points)


@pytest.mark.parametrize(("word", "name"), [("--points", "sample"), ("--engines", "eeger")])
def test_an_unknown_name_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, name: str
) -> None:
    """With those there are."""
    assert probed(tmp_path, monkeypatch, {PLAIN: whole()}, word, name) == 4
    assert f"{name}: no such {word[2:-1]} (there are " in capsys.readouterr().err


def test_where_no_engine_is_asked_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said before anything starts."""
    assert probed(tmp_path, monkeypatch, {PLAIN: whole(), KILL: whole()}, "--engines", KILL, "--points", "lora") == 4
    assert "no engine of killed is asked for lora" in capsys.readouterr().err


def test_where_no_engine_can_start_nothing_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than ten points that are not here."""
    lacking = [Start(PLAIN, {}, ("mode", "alone"), "base needs 1 devices, 0 of platform npu are here")]

    assert probed(tmp_path, monkeypatch, {PLAIN: whole()}, there=lacking) == 1
    assert "no engine can be started here: base needs 1 devices" in capsys.readouterr().err
    assert not list(tmp_path.glob("reports/*"))


def test_what_is_served_asks_for_graphs() -> None:
    """And the plain engine for none: each must show it (see `graph_mode`)."""
    from npu_conformance.commands.probe.engines import all_starts
    from npu_conformance.config.variants import implied_signs

    signs = {start.name: implied_signs(start.options) for start in all_starts(command.CONFIG, "npu")}
    assert {name for name, found in signs.items() if "graph" in found} == {
        "as_served",
        "graph_piecewise",
        "graph_full",
        "graph_full_decode_only",
    }


@pytest.mark.parametrize(
    ("output", "stem"), [("folder", "folder/probe"), ("a/b.json", "a/b"), ("b.md", "b"), ("x/y.d/z.md", "x/y.d/z")]
)
def test_the_output_is_a_folder_or_a_file(output: str, stem: str) -> None:
    """Both forms lie side by side."""
    assert command._paths(Path(output)) == (Path(f"{stem}.json"), Path(f"{stem}.md"))


def test_a_table_holds_any_message() -> None:
    """Lines and bars would break it."""
    finding = Finding(verdict="wrong", message="a\nb | c", figures={"far": 0.123456, "n": 3})
    content = report({"memory": {PLAIN: finding}}, {"versions": {"vllm": "0.32.0"}})

    assert r"| memory | eager | wrong | a b \| c | far 0.123, n 3 |" in markdown(content)
    assert "- versions: vllm 0.32.0" in markdown(content)


def test_the_pieces_of_the_points_are_those_that_engines_are_asked() -> None:
    """Each once: an engine has something for every point."""
    from npu_conformance.commands.probe.engines import all_starts

    there: set[Any] = {piece for start in all_starts(command.CONFIG, "cpu") for piece in start.pieces}
    assert {point.piece for point in POINTS.values()} == there - {"killed"}
    assert set(GOOD) == set(POINTS)
