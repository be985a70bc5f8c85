"""``geocamss doctor`` finds what is there, and survives what is broken."""

from __future__ import annotations

import json

import rasterio
import torch
from click.testing import CliRunner

from geocamss import doctor
from geocamss.cli.doctor import doctor as command
from geocamss.models import registry


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


def test_what_is_missing_is_said_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {item.name: item for item in doctor.examine()}
    assert "geocamss[train]" in found["extra train"].advice
    assert found["QGIS"].state == "missing"


def test_what_is_broken_is_a_finding_and_the_exit_code_says_so(monkeypatch):
    def broken():
        raise ImportError("libgdal.so.36: cannot open shared object file")
        yield

    monkeypatch.setattr(doctor, "_LOOKS", (broken,))
    (finding,) = doctor.examine()
    assert finding.state == "bad"
    assert "libgdal" in finding.found
    assert CliRunner().invoke(command).exit_code == 1
