"""A project of the suite's whose engines only pretend: they note when they run and on which devices.

Plugin, session, jobs, worker processes and leases are the real ones. What needs weights is left out: preparation,
references and judging. Each engine holds a lock of its own on every device it uses, and so does the process it starts,
which has no part in the lease and a title of vLLM's, as its ranks have; whoever finds such a lock taken notes a double
use.
"""

import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.unit.helpers.suite_runs import ROOT, clean_environment

MODELS = {"One": 1, "Single": 1, "Two": 2, "Pair": 2, "Four": 4, "Quad": 4}
"""Tensor parallel sizes, by model."""
DEVICES = 8
TESTS = 3
PLACE = Path("tests", "conformance", "test_checks.py")
"""Of its tests, where the suite's own are."""
_LONGEST = 120.0

_ENGINE = """
import fcntl, json, os, random, subprocess, sys, time, types

RANK = "import sys, time, setproctitle as its; its.setproctitle('VLLM::Worker_TP1'); time.sleep(float(sys.argv[1]))"

def note(event, ids):
    line = json.dumps([event, ids, os.getpid(), time.time()]) + "\\n"
    log = os.open(os.environ["PRETEND_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line.encode())

def run(job, progress):
    progress("starting vLLM", 0, 0)
    if os.environ.get("PRETEND_DIES"):
        raise ValueError(f"free memory ({time.time()} GiB) on startup is less than desired")
    progress("started", 0, 0)
    ids = os.environ["ASCEND_RT_VISIBLE_DEVICES"].split(",")
    note("begin" if len(ids) == job.options.get("tensor_parallel_size", 1) else "not as many as asked for", ids)
    used = [os.open(f"{os.environ['PRETEND_LOG']}.{one}", os.O_RDWR | os.O_CREAT) for one in ids]
    for one, descriptor in zip(ids, used):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("double", [one])
    # In a session of its own its token tells whose it is, in the worker's the group does too.
    words = [sys.executable, "-c", RANK, str(random.uniform(0, 0.4))]
    subprocess.run(words, pass_fds=used, start_new_session=random.random() < 0.5, check=True)
    note("end", ids)
    job.output.mkdir(parents=True, exist_ok=True)

engine = types.ModuleType("npu_conformance.engines.vllm.engine")
engine.run = run
sys.modules[engine.__name__] = engine
"""
_CONFTEST = """
import os
from contextlib import nullcontext
from types import SimpleNamespace
import npu_conformance.run.session as session

pytest_plugins = ["npu_conformance.plugin"]

def prepare(config, subject, *_, **__):
    checkpoint = SimpleNamespace(folder=subject.reference, text_config={})
    return SimpleNamespace(candidate=checkpoint, reference=checkpoint, adapter=None, lengths=(), quantised=False)

session.prepare = prepare
session.save_prepared = lambda *_, **__: None
NAMED = dict.fromkeys(("weights", "weights_digest", "reference_weights", "reference_digest", "config_digest"), "")
session.describe_subject = lambda subject, config, *_, **__: NAMED | {
    "kind": "real", "model": config.model, "hardware": None, "architecture": {}
}
session.References = lambda *_: SimpleNamespace(ahead=lambda *_: nullcontext(), score=lambda *_: None)
session.load_evidence = lambda *_, **__: SimpleNamespace(candidate=None)
session.load_base = session.load_floor = session.save_details = lambda *_: None
session.may_drop = lambda *_: False

def pytest_collection_finish(session):
    with open(os.environ["PRETEND_LOG"] + ".workers", "a") as file:
        print(os.getpid(), file=file)
"""
_TESTS = "\n".join(f"def test_{number}(evidence):\n    assert evidence is not None\n" for number in range(TESTS))


@dataclass(frozen=True)
class PretendRun:
    """What came of a run."""

    status: int | None
    """None of one that hung."""
    passed: int
    failed: int
    kills: int
    output: str
    events: list[str]
    """Lines of the engines' log."""


def make_project(folder: Path) -> Path:
    """A project with six models; its locks are its own."""
    for name in ("configs", "site", "locks", PLACE.parent):
        (folder / name).mkdir(parents=True)
    for model, ranks in MODELS.items():
        text = f"model: org/{model}\nserve: {{tensor_parallel_size: {ranks}}}\n"
        (folder / "configs" / f"{model}.yaml").write_text(text)
        weights = folder / "models" / "org" / model
        weights.mkdir(parents=True)
        (weights / "config.json").write_text("{}")
    ini = "[pytest]\nmodel_configs = configs\nreports = reports\naddopts = --strict-markers --import-mode=importlib\n"
    (folder / "pytest.ini").write_text(ini)
    (folder / "conftest.py").write_text(_CONFTEST)
    (folder / PLACE).write_text(_TESTS)
    (folder / "site" / "sitecustomize.py").write_text(_ENGINE)
    return folder


def environment(project: Path) -> dict[str, str]:
    """Of its runs: eight devices, of which there is none."""
    path = os.pathsep.join([str(project / "site"), str(ROOT / "src")])
    named = {
        "PYTHONPATH": path,
        "NPU_CONFORMANCE_DEVICES": f"0-{DEVICES - 1}",
        "NPU_CONFORMANCE_LOCKS": str(project / "locks"),
        "NPU_CONFORMANCE_CACHE": str(project / "cache"),
        "PRETEND_LOG": str(project / "log"),
    }
    kept = {name: value for name, value in clean_environment().items() if name != "ASCEND_RT_VISIBLE_DEVICES"}
    return kept | named


def pretend_run(project: Path, seed: int, *words: str) -> PretendRun:
    """Run its tests with four workers, some of which are killed in the middle, as the seed says."""
    rng, log = random.Random(seed), project / "log"  # noqa: S311 (no secret)
    log.write_text("")
    command = [sys.executable, "-m", "pytest", "-n", "4", "-p", "no:cacheprovider", "--tb=short", "--device", "npu"]
    with (project / "output").open("wb") as sink:
        running = subprocess.Popen(
            [*command, f"--models-root={project / 'models'}", *words, "tests"],
            cwd=project,
            env=environment(project),
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    status, processes = None, ""
    try:
        kills = _kill_some(running, log, rng)
        status = running.wait(_LONGEST)
    except subprocess.TimeoutExpired:
        processes = "\n".join(map(str, psutil.Process(running.pid).children(recursive=True)))
    finally:
        running.kill()  # only where it hangs: its workers then end by themselves
    output = (project / "output").read_text() + processes
    passed, failed = (
        int(match[1]) if (match := re.search(rf"(\d+) {word}", output.splitlines()[-1])) else 0
        for word in ("passed", "failed")
    )
    return PretendRun(status, passed, failed, kills, output, log.read_text().splitlines())


def _kill_some(running: "subprocess.Popen[bytes]", log: Path, rng: random.Random) -> int:
    """Kill pytest-xdist's workers at moments after the first engine began; how many."""
    started = time.monotonic()
    while running.poll() is None and not log.read_text() and time.monotonic() - started < _LONGEST:
        time.sleep(0.02)
    kills = 0
    for _ in range(rng.randint(0, 3)):
        time.sleep(rng.uniform(0, 3))
        # Not one that is just being started: pytest-xdist 3.8 ends with an internal error then.
        ready = log.with_name("log.workers").read_text().split()
        there = psutil.Process(running.pid).children() if running.poll() is None else []
        if workers := [worker for worker in there if str(worker.pid) in ready]:
            rng.choice(workers).kill()
            kills += 1
    return kills
