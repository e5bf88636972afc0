"""Faults judged over HTTP: the table of them, the server's options, and a fault's way in and out of a worker."""

from types import SimpleNamespace

import pytest

from npu_conformance.__main__ import main
from npu_conformance.selftest import served_extension
from npu_conformance.selftest.catalogue import CLEAN, KINDS, Kind
from npu_conformance.selftest.live import Live
from npu_conformance.selftest.over_http import OverHttp, over_http_table
from npu_conformance.selftest.served_extension import FaultyWorker


def found(kind: str, inside: str, outside: str, *, strength: float = 1.0, same: bool = False) -> OverHttp:
    """A row."""
    return OverHttp(
        kind=kind,
        documented=1.0,
        inside=tuple(inside.split()),
        strength=strength,
        over_http=tuple(outside.split()),
        same_logits=same,
    )


def test_the_table_counts_what_changes_something() -> None:
    """At the same strength, and at any."""
    rows = [
        found(CLEAN, "", ""),
        found("logits_scaled", "signed_bias", "signed_bias drift"),
        found("rotary_theta", "drift", "drift", strength=1.5),
        found("noise", "drift", ""),
        found("head_lost", "", "", same=True),
    ]
    page = over_http_table("twin", 40, rows).splitlines()

    assert "Of 3 kinds that change what the twin says, 3 are caught inside" in page[0]
    assert "1 over HTTP at the same strength, and 2 over HTTP at that or a stronger" in page[0]
    assert page[4:] == [
        "| none | 1 | pass | — | pass |",
        f"| {KINDS['logits_scaled'].about} | 1 | signed_bias | 1 | signed_bias, drift |",
        f"| {KINDS['rotary_theta'].about} | 1 | drift | 1.5 | drift |",
        f"| {KINDS['noise'].about} | 1 | drift | — | missed |",
        f"| {KINDS['head_lost'].about} | 1 | changes nothing here | — | changes nothing here |",
    ]


def test_a_fault_takes_the_place_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left when it is taken out."""
    model = SimpleNamespace(size=1.0)

    def scaled(live: Live, strength: float) -> None:
        """Larger."""
        live.put(model, "size", strength)

    class Made(Live):
        def __init__(self, runner: object) -> None:
            self.runner = runner

        def _follow_steps(self) -> None:
            """No steps here."""

    monkeypatch.setattr(served_extension, "Live", Made)
    monkeypatch.setitem(KINDS, "scaled", Kind(scaled))
    worker = FaultyWorker()
    worker.model_runner = SimpleNamespace()
    sizes = []
    for strength in ("2", "3"):
        worker.put_fault("scaled", strength)
        sizes.append(model.size)
    worker.take_fault_out()
    worker.take_fault_out()

    assert (sizes, model.size) == ([2.0, 3.0], 1.0)


@pytest.mark.engine
@pytest.mark.slow
def test_faults_in_a_real_server_are_caught_over_http(configs: object, tmp_path: object) -> None:
    """By what the gates of whole rows see too, and by requests that are in one batch; nothing is without a fault."""
    words = [f"--configs={configs}", f"--reports={tmp_path}"]
    assert main(["dev", "faults", "--over-http", "--kinds", "logits_scaled", "rows_mixed", *words]) == 0
