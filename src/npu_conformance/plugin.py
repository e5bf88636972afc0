"""The pytest plugin: options, parameters, fixtures and reporting. Thin: what it does is done elsewhere."""

import os
import shlex
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from npu_conformance.baselines import load_published
from npu_conformance.config import config_names
from npu_conformance.errors import ConfigError, ConformanceError
from npu_conformance.evidence import Evidence
from npu_conformance.gates import judged_or_error
from npu_conformance.messages import failure_text
from npu_conformance.progress import Narrator
from npu_conformance.report.model import build_report, describe_run
from npu_conformance.report.write import summary_lines, write_report
from npu_conformance.results import Check
from npu_conformance.run.session import Session
from npu_conformance.run.settings import Settings

_CHECKS = "conformance_checks"
_IDENTITY = "conformance_identity"
SESSION = pytest.StashKey[Session]()

Judge = Callable[[Callable[[Evidence], list[Check]]], None]
"""Judges the evidence by a property's function, records its checks and fails the test when any of them failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the suite."""
    group = parser.getgroup("conformance", "precision conformance")
    add = group.addoption
    add("--twin", action="store_true", help="judge trained stand-ins instead of real weights")
    add(
        "--models-root",
        type=Path,
        metavar="DIR",
        help="look for weights here first, as DIR/<organisation>/<name>",
    )
    add("--candidate", choices=("vllm", "transformers"), default="vllm", help="engine under test")
    add("--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found")
    add("--candidate-weights", type=Path, metavar="DIR", help="the candidate loads this checkpoint")
    add("--candidate-adapter", type=Path, metavar="DIR", help="the candidate loads this LoRA")
    add("--prompts", type=int, metavar="N", help="use N prompts, dealt from the model's sets")
    add(
        "--require-weights",
        action="store_true",
        help="missing weights are an error (exit status 4), not a skip",
    )
    add("--require-confidence", action="store_true", help="inconclusive fails")
    add(
        "--from",
        type=Path,
        dest="from_dir",
        metavar="DIR",
        help="judge the traces of this report folder again",
    )
    add("--reference-python", type=Path, metavar="PATH", help="interpreter of the reference's process")
    add(
        "--trust-remote-code",
        action="store_true",
        help="allow models whose YAML asks for it to run their own code",
    )
    add("--deadline", type=float, metavar="SECONDS", help="end a job that takes longer; default: the YAML's")
    parser.addini("model_configs", "folder of model configs", default="model_configs")
    parser.addini("baselines", "folder of published figures and baselines", default="baselines")
    parser.addini("reports", "folder for reports", default="reports")


def pytest_configure(config: pytest.Config) -> None:
    """Make the session and, on the process that reports, the place results go to."""
    if threading.current_thread() is threading.main_thread():
        # A CI's timeout sends SIGTERM; as an interrupt it ends the workers and their engines too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    narrator = Narrator(_uncaptured(config))
    config.stash[SESSION] = Session(_settings(config), _report_folder(config), narrator)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(), "npu-conformance-results")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: tell workers where the run's folder is."""
    node.workerinput["conformance_folder"] = str(node.config.stash[SESSION].folder)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every conformance test the same full list of models and variants, so that sessions are shared."""
    if "evidence" not in metafunc.fixturenames:  # what `judge` judges
        return
    session = metafunc.config.stash[SESSION]
    parameters = []
    for model in config_names(session.settings.configs):
        for variant in session.variants(model):
            reason = session.why_not(model, variant)
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            parameters.append(pytest.param(f"{model}-{variant}", marks=marks))
    metafunc.parametrize("evidence", parameters, indirect=True, scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse the run before it starts when a selected model's config is bad, or weights are required."""
    if hasattr(session.config, "workerinput"):
        return  # pytest-xdist cannot be refused from a worker; the model's tests will say
    own = session.config.stash[SESSION]
    models = list(dict.fromkeys(_identity(item)[0] for item in session.items if _is_ours(item)))
    for option, given in (
        ("--candidate-weights", own.settings.candidate_weights),
        ("--candidate-adapter", own.settings.candidate_adapter),
    ):
        if given and len(models) > 1:
            raise pytest.UsageError(f"{option} is one model's, {len(models)} models are selected: choose one with -k")
    own.expect(models)
    for model in models:
        try:
            own.config(model)
            load_published(_baselines(session.config), model)
            reason = own.missing(model)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from None
        if reason and session.config.getoption("require_weights"):
            raise pytest.UsageError(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Let results say which model, variant and check they are of."""
    if _is_ours(item):
        item.user_properties.append((_IDENTITY, _identity(item)))


@pytest.fixture(scope="session")
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Candidate and reference of one model in one variant; runs what is needed for it, once."""
    model, variant = request.param.rsplit("-", 1)
    try:
        return request.config.stash[SESSION].evidence(model, variant)
    except ConformanceError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)  # outside the handler, or pytest prints the error as its context again


@pytest.fixture
def judge(request: pytest.FixtureRequest, evidence: Evidence) -> Judge:
    """Judge a property, record its checks in the report, then pass, fail or skip the test by them."""
    bad = {"fail", "error", "inconclusive"} if request.config.getoption("require_confidence") else {"fail", "error"}

    def judge_property(property_: Callable[[Evidence], list[Check]]) -> None:
        checks = judged_or_error(property_, evidence)
        request.node.user_properties.append((_CHECKS, [check.model_dump(mode="json") for check in checks]))
        if failed := [check for check in checks if check.verdict in bad]:
            doc = request.function.__doc__ or request.function.__name__
            pytest.fail(failure_text(doc, failed, _reproduce(request)), pytrace=False)
        if all(check.verdict == "not_applicable" for check in checks):
            pytest.skip(f"not applicable: {checks[0].message}")

    return judge_property


class Results:
    """Gathers what tests judged, from this process or from pytest-xdist's workers, and writes the report."""

    def __init__(self) -> None:
        self._checks: dict[str, list[Check]] = defaultdict(list)
        self._lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the checks out of a test's result; a test without any counts as an error or as skipped."""
        properties: dict[str, Any] = dict(report.user_properties)
        if _IDENTITY not in properties:
            return
        model, variant, check = properties[_IDENTITY]
        judged = properties.get(_CHECKS)
        if report.when == "call" and judged:
            self._checks[model] += [Check.model_validate(entry) for entry in judged]
        elif report.failed:
            self._add(model, variant, check, "error", report.longreprtext)
        elif report.skipped and report.when == "setup":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self._add(model, variant, check, "skipped", reason.removeprefix("Skipped: "))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the report of what was judged."""
        own = session.config.stash[SESSION]
        judged = (check for checks in self._checks.values() for check in checks if check.verdict != "skipped")
        if not any(judged):  # nothing ran: the last report stays the latest
            return
        report = build_report(
            own.folder,
            self._checks,
            {model: own.kind(model) for model in self._checks},
            describe_run(_command(), session.config.rootpath, own.settings.from_dir),
            _baselines(session.config),
        )
        write_report(report, own.folder)
        self._lines = summary_lines(report, own.folder)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """Say each model's verdict and where the report is."""
        if self._lines:
            terminalreporter.section("conformance")
            for line in self._lines:
                terminalreporter.line(line)

    def _add(self, model: str, variant: str, check: str, verdict: Any, message: str) -> None:
        self._checks[model].append(
            Check(check=check, variant=variant, metric=check, verdict=verdict, message=message, path="none")
        )


def _is_ours(item: pytest.Item) -> bool:
    return "evidence" in getattr(getattr(item, "callspec", None), "params", {})


def _identity(item: pytest.Item) -> tuple[str, str, str]:
    model, variant = item.callspec.params["evidence"].rsplit("-", 1)  # type: ignore[attr-defined]
    return model, variant, item.originalname.removeprefix("test_")  # type: ignore[attr-defined]


def _settings(config: pytest.Config) -> Settings:
    option = config.getoption
    configs = config.rootpath / config.getini("model_configs")
    if not configs.is_dir():
        raise pytest.UsageError(f"no folder of model configs at {configs}: run pytest from the suite's checkout")
    for name in ("models_root", "candidate_weights", "candidate_adapter", "from_dir"):
        if (path := option(name)) is not None and not path.is_dir():
            raise pytest.UsageError(f"--{name.removesuffix('_dir').replace('_', '-')} {path}: no such folder")
    if (python := option("reference_python")) is not None and not os.access(python, os.X_OK):
        raise pytest.UsageError(f"--reference-python {python}: no such interpreter")
    if (count := option("prompts")) is not None and count < 1:
        raise pytest.UsageError(f"--prompts {count}: at least 1 is needed")
    return Settings(
        configs=configs,
        twin=option("twin"),
        models_root=option("models_root"),
        candidate=option("candidate"),
        device=option("device"),
        candidate_weights=option("candidate_weights"),
        candidate_adapter=option("candidate_adapter"),
        prompts=option("prompts"),
        from_dir=option("from_dir"),
        reference_python=option("reference_python"),
        trust_remote_code=option("trust_remote_code"),
        deadline=option("deadline"),
    )


def _report_folder(config: pytest.Config) -> Path:
    if (given := getattr(config, "workerinput", {}).get("conformance_folder")) is not None:
        return Path(given)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    reports: str = config.getini("reports")
    return config.rootpath / reports / f"{stamp}-{os.getpid()}"


def _baselines(config: pytest.Config) -> Path:
    folder: str = config.getini("baselines")
    return config.rootpath / folder


def _uncaptured(config: pytest.Config) -> Callable[[], AbstractContextManager[None]]:
    """Contexts in which standard error reaches the terminal, on a line of its own."""

    @contextmanager
    def uncaptured() -> Iterator[None]:
        manager = config.pluginmanager.getplugin("capturemanager")
        reporter = config.pluginmanager.getplugin("terminalreporter")
        with manager.global_and_fixture_disabled() if manager else nullcontext():
            if reporter is not None:
                reporter.ensure_newline()
                reporter.flush()
            yield

    return uncaptured


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _reproduce(request: pytest.FixtureRequest) -> str:
    words = request.config.stash[SESSION].settings.words()
    return f"pytest {shlex.join(words)} -k '{request.node.callspec.id} and {request.function.__name__}'"
