"""The summary: areas in units that a person can read."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss.cli.summary import area_text, print_summary


@given(st.floats(0, 5e14))
def test_an_area_is_told_to_half_of_its_last_digit(area: float) -> None:
    number, unit = area_text(area, area).replace(",", "").split()
    size = {"m²": 1.0, "km²": 1e6}[unit]
    last_digit = size * 10.0 ** -len(number.partition(".")[2])
    assert last_digit <= max(1.0, area / 1e3, 1e3 * (area >= 1e6))
    assert float(number) * size == pytest.approx(area, abs=0.501 * last_digit, rel=1e-12)


def test_one_table_has_one_unit_and_as_many_decimals() -> None:
    assert area_text(10.0, 5e6) == "0.000 km²"
    assert area_text(53_502.0, 270_705.0) == "0.0535 km²"
    assert area_text(10.0, 9_000.0) == "10 m²"


def test_an_unknown_area_is_a_dash() -> None:
    assert area_text(math.nan, 1.0) == "-"


def test_summary_names_classes_and_files(tmp_path: Path, capsys) -> None:
    for name in ("classes.tif", "item.json"):
        (tmp_path / name).touch()
    areas = pd.DataFrame(
        {
            "class": [1, 2],
            "name": ["water", "[red] road"],
            "pixels": [3, 1],
            "area_m2": [3e6, 1e6],
            "share": [0.75, 0.25],
            "confidence": [91.0, math.nan],
        }
    )
    print_summary(SimpleNamespace(folder=tmp_path, areas=areas))
    text = capsys.readouterr().out
    assert "3.000 km²" in text
    assert "75.0 %" in text
    assert "91 %" in text
    assert "[red] road" in text
    assert str(tmp_path / "classes.tif") in text.replace("\n", "")


def test_without_ground_the_summary_counts_pixels(tmp_path: Path, capsys) -> None:
    areas = pd.DataFrame(
        {
            "class": [1],
            "name": ["water"],
            "pixels": [2_000_000],
            "area_m2": [2e6],
            "share": [1.0],
            "confidence": [50.0],
        }
    )
    print_summary(SimpleNamespace(folder=tmp_path, areas=areas))
    text = capsys.readouterr().out
    assert "2,000,000 pixels" in text
    assert "km²" not in text
