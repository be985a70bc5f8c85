"""The plugin as a file."""

from __future__ import annotations

import ast
import configparser
import json
import zipfile
from pathlib import Path

import pytest

import geocamss
from geocamss.cli.main import main
from geocamss.errors import OutputError
from geocamss.plugin import write_plugin

SOURCES = Path(geocamss.__file__).with_name("qgis")

# What QGIS wants to know of any plugin, and then of one with algorithms.
WANTED = {"name", "qgisMinimumVersion", "description", "about", "version", "author"}


def test_one_command_packs_what_qgis_installs(tmp_path, capsys):
    target = tmp_path / "ein Plugin.zip"
    assert main(["qgis-plugin", "-o", str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        folders = {name.partition("/")[0] for name in names}
        metadata = configparser.ConfigParser(interpolation=None)
        metadata.optionxform = str
        metadata.read_string(archive.read("geocamss_qgis/metadata.txt").decode())
    assert folders == {"geocamss_qgis"}
    shipped = [file.name for file in SOURCES.iterdir() if file.is_file()]
    assert sorted(names) == sorted(f"geocamss_qgis/{name}" for name in shipped)
    general = metadata["general"]
    assert set(general) >= WANTED
    assert all(general.values())
    assert general["version"] == geocamss.__version__
    assert general["hasProcessingProvider"] == "yes"
    assert f"geocamss_qgis/{general['icon']}" in names


def test_programs_are_told_in_json_and_the_quiet_nothing(tmp_path, capsys):
    target = tmp_path / "a.zip"
    assert main(["qgis-plugin", "-o", str(target), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(target)
    with zipfile.ZipFile(target) as archive:
        assert found["files"] == archive.namelist()
    assert main(["qgis-plugin", "-o", str(target), "--overwrite", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_one_version_gives_one_file(tmp_path):
    for name in ("a.zip", "b.zip"):
        write_plugin(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.zip", "b.zip"}


def test_a_file_that_is_there_stays_until_overwrite_is_said(tmp_path, capsys):
    target = tmp_path / "a.zip"
    target.write_text("mine")
    assert main(["qgis-plugin", "-o", str(target)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert main(["qgis-plugin", "-o", str(target), "--overwrite"]) == 0
    assert zipfile.is_zipfile(target)


@pytest.mark.parametrize("name", ["plugin.tar", "no such folder/a.zip"])
def test_a_file_that_cannot_be_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=name):
        write_plugin(tmp_path / name)


@pytest.mark.parametrize("file", sorted(SOURCES.glob("*.py")), ids=lambda file: file.name)
def test_the_sources_are_read_by_the_oldest_python_that_qgis_has(file):
    ast.parse(file.read_text(), feature_version=(3, 9))
