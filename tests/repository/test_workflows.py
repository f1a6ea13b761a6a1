"""The workflows of the forge are valid, and build what the documents promise."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314")
PLATFORMS = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
}
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def jobs(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return loaded["jobs"]  # type: ignore[no-any-return]


def actions(name: str, job: str) -> str:
    return " ".join(step.get("uses", "") + " " + step.get("run", "") for step in jobs(name)[job]["steps"])


def check(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@every_workflow
def test_workflow_keeps_to_the_schema_of_the_forge(path: Path) -> None:
    check(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path)


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="there is no actionlint")
@every_workflow
def test_actionlint_finds_nothing(path: Path) -> None:
    check("actionlint", path)


@every_workflow
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    loaded = yaml.safe_load(path.read_text())
    assert loaded["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in loaded["jobs"].values())


def test_a_release_is_published_by_trust_with_attestations_and_an_sbom() -> None:
    publish = jobs("release.yml")["publish"]
    assert publish["permissions"]["id-token"] == "write"
    assert set(publish["needs"]) == {"sdist", "wheels", "sbom"}
    used = actions("release.yml", "publish")
    assert "pypa/gh-action-pypi-publish" in used and "actions/attest-build-provenance" in used
    assert "actions/attest-sbom" in used and "cyclonedx-py" in actions("release.yml", "sbom")
    assert "password" not in str(publish)


def test_the_tests_run_on_every_python_and_machine() -> None:
    matrix = jobs("ci.yml")["tests"]["strategy"]["matrix"]
    assert [f"cp{python.replace('.', '')}" for python in matrix["python"]] == list(PYTHONS)
    assert len(matrix["os"]) == 4 and ".ci/run" in actions("ci.yml", "all")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cibuildwheel needs Python 3.11")
@pytest.mark.parametrize(("platform", "machines"), PLATFORMS.items())
def test_a_release_has_every_wheel(platform: str, machines: tuple[str, ...]) -> None:
    ask = (
        sys.executable,
        "-m",
        "cibuildwheel",
        "--print-build-identifiers",
        "--archs",
        "all",
        "--platform",
        platform,
    )
    done = subprocess.run(ask, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert {f"{python}-{machine}" for python in PYTHONS for machine in machines} <= set(done.stdout.split())
