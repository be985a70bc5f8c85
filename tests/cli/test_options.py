"""How the values of shared options are read."""

from __future__ import annotations

import inspect
import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geocamss import modelcard
from geocamss.cli.main import cli
from geocamss.cli.options import OUTPUTS, SAMPLERS, did_you_mean, parse_gsd
from geocamss.predict import predict
from geocamss.products import PRODUCTS


@given(st.floats(1e-6, 1e6))
def test_gsd_is_a_number_of_meters(meters: float) -> None:
    assert parse_gsd(repr(meters)) == meters


@pytest.mark.parametrize("text", ["auto", "native"])
def test_gsd_is_a_word(text: str) -> None:
    assert parse_gsd(text) == text


@pytest.mark.parametrize("number", [0.0, -1.0, math.inf, math.nan])
def test_impossible_gsd_is_refused(number: float) -> None:
    with pytest.raises(click.BadParameter, match="native"):
        parse_gsd(str(number))


def test_a_near_name_is_offered() -> None:
    assert did_you_mean("clases", OUTPUTS) == " Did you mean 'classes'?"


def test_nothing_near_is_no_guess() -> None:
    assert did_you_mean("xyzzy", OUTPUTS) == ""


def test_command_and_function_have_the_same_options_and_defaults() -> None:
    command = cli.get_command(click.Context(cli), "predict")
    context = command.make_context("predict", ["scene.tif", "-o", "out"])
    shown = {"quiet", "progress_form", "as_json", "only_plan"}
    given = {name: value for name, value in context.params.items() if name not in shown}
    signature = inspect.signature(predict).parameters
    assert set(given) == set(signature) - {"progress"}
    for name, parameter in signature.items():
        if name not in ("scene", "out", "progress"):
            assert given[name] == parameter.default, name


def test_every_output_that_is_written_can_be_named() -> None:
    assert tuple(PRODUCTS) == OUTPUTS


def test_the_samplers_offered_are_those_of_the_card() -> None:
    assert modelcard.SAMPLERS == SAMPLERS


def test_bands_and_outputs_reach_the_function_as_values() -> None:
    command = cli.get_command(click.Context(cli), "predict")
    words = ["s.tif", "-o", "out", "--bands", "red=3,green=2", "--outputs", "classes, polygons"]
    params = command.make_context("predict", words).params
    assert params["bands"] == {"red": 3, "green": 2}
    assert params["outputs"] == ("classes", "polygons")
