"""CANN and the driver, by the files that their installers leave."""

from pathlib import Path

import pytest

from npu_conformance.machine.cann import driver_version, find_cann
from npu_conformance.machine.provenance import package_versions


@pytest.mark.parametrize(
    ("file", "content", "version"),
    [
        ("aarch64-linux/ascend_toolkit_install.info", "name=x\nversion=8.1.RC1\ninnerversion=V1\n", "8.1.RC1"),
        ("aarch64-linux/ascend_ops_install.info", "version=9.1.0\n", "9.1.0"),
        ("ascend_toolkit_install.info", "version=8.5.1\n", "8.5.1"),
        ("version.cfg", "# version: 1.0\ntoolkit_running_version=[7.6.0.1.220:8.2.RC1]\n", "8.2.RC1"),
        ("version.cfg", "runtime_running_version=[8.5.2]\n", "8.5.2"),
        ("other", "version=1\n", None),
    ],
)  # fmt: skip
def test_the_version_of_cann_is_read_from_its_files(
    tmp_path: Path, file: str, content: str, version: str | None
) -> None:
    """Whichever of them an installer left."""
    path = tmp_path / "home" / file
    path.parent.mkdir(parents=True)
    path.write_text(content)

    found = find_cann({"ASCEND_TOOLKIT_HOME": str(tmp_path / "home")}, tmp_path)
    assert found is not None
    assert (found.version, found.variable) == (version, "ASCEND_TOOLKIT_HOME")


def test_where_cann_is_looked_for(tmp_path: Path) -> None:
    """Where the environment says, else where installers put it; the toolkit's own file before others."""
    assert find_cann({}, tmp_path) is None
    assert driver_version(tmp_path) is None
    (tmp_path / "cann-8.5.1").mkdir()
    (tmp_path / "cann").symlink_to("cann-8.5.1")
    (tmp_path / "cann" / "ascend_ops_install.info").write_text("version=1\n")
    (tmp_path / "cann" / "ascend_toolkit_install.info").write_text("version=8.5.1\n")
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "version.info").write_text("Version=24.1.rc1\nascendhal_version=7.35.19\n")

    found = find_cann({"ASCEND_HOME_PATH": str(tmp_path / "gone")}, tmp_path)
    assert found is not None
    assert (found.version, found.variable, found.home) == ("8.5.1", None, tmp_path / "cann")
    assert driver_version(tmp_path) == "24.1.rc1"


def test_provenance_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result names the CANN it was computed with; a folder that does not say its version adds nothing."""
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    assert "cann" not in package_versions()
    (tmp_path / "version.cfg").write_text("runtime_running_version=[8.5.2]\n")
    assert package_versions()["cann"] == "8.5.2"
