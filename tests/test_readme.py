"""What the README shows is what its command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from geocamss.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def table(text: str) -> dict[str, tuple[float, float]]:
    """Share and mean confidence by class, in percent."""
    rows = re.findall(r"^(\w+) .*?([\d.]+) % +(\d+) % *$", text, re.MULTILINE)
    return {name: (float(share), float(confidence)) for name, share, confidence in rows}


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiles").symlink_to(ROOT / "tiles")
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    command = re.search(r"geocamss (predict .*)$", README, re.MULTILINE)
    assert shown is not None
    assert command is not None
    assert main(command[1].split()) == 0
    printed = capsys.readouterr().out
    # Processors round differently, and a pixel at the edge of two classes may fall either way.
    assert table(printed).keys() == table(shown[1]).keys()
    for name, numbers in table(printed).items():
        assert numbers == pytest.approx(table(shown[1])[name], abs=1.5)
    for line in shown[1].splitlines():
        if line.startswith("out/"):
            assert line in printed
            assert Path(line).is_file()


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
