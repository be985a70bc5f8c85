"""``geocamss doctor`` finds what is there, and survives what is broken."""

from __future__ import annotations

import json
import shutil
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import rasterio
import torch
from click.testing import CliRunner
from packaging.requirements import Requirement

from geocamss import doctor
from geocamss.cli.doctor import doctor as command
from geocamss.models import registry
from tests.conftest import ROOT


def test_it_tells_the_versions_that_are_installed():
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0, result.output
    found = {item["name"]: item for item in json.loads(result.output)}
    assert rasterio.__gdal_version__ in found["GDAL"]["found"]
    assert torch.__version__ in found["torch"]["found"]
    assert all(f"model {name}" in found for name in registry.names())
    assert all(item["advice"] for item in found.values() if item["state"] != "good")


def test_people_are_told_the_same():
    result = CliRunner().invoke(command)
    assert result.exit_code == 0
    assert "GDAL" in result.output


def test_quiet_tells_only_what_is_not_as_it_should_be(monkeypatch):
    def looked():
        yield doctor.Finding("good thing", "good", "there")
        yield doctor.Finding("lost thing", "missing", "not there", "fetch it")

    monkeypatch.setattr(doctor, "_LOOKS", (looked,))
    result = CliRunner().invoke(command, ["-q"])
    assert result.exit_code == 0
    assert "good thing" not in result.output
    assert "fetch it" in result.output
    (found,) = json.loads(CliRunner().invoke(command, ["-q", "--json"]).output)
    assert found["name"] == "lost thing"


def test_what_is_missing_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "SYSTEM_PYTHON", tmp_path / "python3")
    found = {item.name: item for item in doctor.examine()}
    assert "geocamss[train]" in found["extra train"].advice
    assert found["QGIS"].state == "missing"
    assert "apt-get install qgis" in found["QGIS"].advice


def test_libraries_are_looked_for_as_the_package_asks_for_them():
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    homes = packages_distributions()
    for extra, libraries in doctor.EXTRAS.items():
        asked = {Requirement(text).name for text in extras[extra]}
        assert {homes[library][0] for library in libraries} == asked
    # What is not looked for is for those who work on the package.
    assert extras.keys() - doctor.EXTRAS.keys() == {"bench", "test", "docs", "dev"}


def test_a_qgis_without_a_program_is_found(monkeypatch, tmp_path):
    if not Path("/usr/lib/python3/dist-packages/qgis/core").is_dir():
        pytest.skip("needs QGIS in the system's Python: apt-get install python3-qgis")
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = doctor._qgis()
    assert found.state == "good"
    assert found.found.startswith("3.")
    assert "/usr/bin/python3" in found.found


def test_a_program_of_qgis_is_found(monkeypatch, tmp_path):
    program = shutil.copy(shutil.which("true"), tmp_path / "qgis")
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = doctor._qgis()
    assert (found.state, found.found) == ("good", str(program))


def test_gpus_are_told_one_by_one_with_the_cuda_of_torch():
    found = {item.name: item for item in doctor._torch()}
    assert f"CUDA {torch.version.cuda}" in found["torch"].found or torch.version.cuda is None
    gpus = [item for name, item in found.items() if name.startswith("GPU cuda:")]
    assert len(gpus) == torch.cuda.device_count()
    for gpu in gpus:
        assert "bfloat16" in gpu.found or "float32" in gpu.found
    assert ("GPU" in found) == (not gpus)


def test_what_is_broken_is_a_finding_and_the_exit_code_says_so(monkeypatch):
    def broken():
        raise ImportError("libgdal.so.36: cannot open shared object file")
        yield

    monkeypatch.setattr(doctor, "_LOOKS", (broken,))
    (finding,) = doctor.examine()
    assert finding.state == "bad"
    assert "libgdal" in finding.found
    assert CliRunner().invoke(command).exit_code == 1
