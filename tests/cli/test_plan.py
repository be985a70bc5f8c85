"""``geocamss predict --plan`` tells what a run would do, and does nothing."""

from __future__ import annotations

import json

from geocamss.cli.main import main


def test_the_command_prints_the_plan_and_writes_nothing(small_scene, small_model, tmp_path, capsys):
    words = ["predict", str(small_scene), "--model", str(small_model), "--plan"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["memory"] == sum(said["parts"].values())
    assert said["tiles"] >= 1
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    for word in ("blocks", "tiles", "time", "disk", "memory", "network"):
        assert f"\n{word}" in f"\n{text}" or f"  {word}" in text
    assert not (tmp_path / "out").exists()
    assert main([*words, "--memory", "10MB"]) == 2
    assert "does not fit" in capsys.readouterr().err
