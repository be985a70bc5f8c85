"""The picture of scene and map, for scenes of any shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from geocamss.classes import NODATA, ClassScheme
from geocamss.output.areas import ClassArea
from geocamss.output.preview import NO_DATA, WIDTH, render_preview, stretch

from .maps import SCHEME, landscape


def areas_of(pixels, scheme) -> list[ClassArea]:
    total = max(1, int((pixels != NODATA).sum()))
    counts = [int((pixels == c.value).sum()) for c in scheme]
    return [
        ClassArea(c.value, c.name, n, float(n), n / total, None)
        for c, n in zip(scheme, counts, strict=True)
    ]


def render(folder, pixels, scheme=SCHEME, scene=None):
    valid = pixels != NODATA
    if scene is None:
        scene = np.full((*pixels.shape, 3), 77, dtype=np.uint8)
    target = folder / "preview.png"
    render_preview(scene, valid, pixels, scheme, areas_of(pixels, scheme), target=target)
    return np.asarray(Image.open(target))


def count(picture, color) -> int:
    return int((picture == np.array(color, dtype=np.uint8)).all(axis=-1).sum())


def test_classes_are_drawn_in_their_colors_and_shares(tmp_path):
    pixels = landscape(300, 400)
    picture = render(tmp_path, pixels)
    for entry in SCHEME:
        swatch = 23 * 15
        assert count(picture, entry.color) == (pixels == entry.value).sum() + swatch
    assert count(picture, (77, 77, 77)) == (pixels != NODATA).sum()
    assert count(picture, NO_DATA) >= 2 * (pixels == NODATA).sum()


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 50), (50, 1), (3, 30_000), (30_000, 3), (2000, 2500), (700, 3000)]
)
@pytest.mark.parametrize("nodata", [False, True])
def test_any_shape_gives_a_picture_of_bounded_size(tmp_path, shape, nodata):
    pixels = np.zeros(shape, dtype=np.uint8)
    pixels[shape[0] // 2 :, shape[1] // 2 :] = NODATA if nodata else 4
    picture = render(tmp_path, pixels)
    assert picture.shape[1] <= WIDTH
    assert picture.shape[0] <= 1400
    swatch = 23 * 15
    if shape != (1, 1):
        assert count(picture, SCHEME.classes[0].color) > swatch
    assert count(picture, NO_DATA if nodata else SCHEME.classes[4].color) > swatch


def test_all_nodata_is_gray_twice(tmp_path):
    picture = render(tmp_path, np.full((200, 200), NODATA, dtype=np.uint8))
    assert count(picture, NO_DATA) >= 2 * 200 * 200
    assert count(picture, (77, 77, 77)) == 0


def test_many_classes_are_summed_up(tmp_path):
    scheme = ClassScheme.of([f"c{v}" for v in range(254)])
    pixels = np.arange(254 * 40, dtype=np.int64).reshape(254, 40) // 40
    picture = render(tmp_path, pixels.astype(np.uint8), scheme)
    assert picture.shape[0] < 1400


def test_long_and_foreign_names_fit(tmp_path):
    names = ["Straße, Größe, Fläche" * 30, "zürich\nmit\tUmbruch", "вода", "δάσος", "日本", " x "]
    scheme = ClassScheme.of(names)
    picture = render(tmp_path, np.zeros((100, 100), dtype=np.uint8), scheme)
    assert picture.shape[1] <= WIDTH


def test_scene_and_map_may_differ_in_resolution(tmp_path):
    pixels = landscape(120, 160)
    scene = np.full((60, 80, 3), 9, dtype=np.uint8)
    target = tmp_path / "preview.png"
    valid = np.ones((60, 80), dtype=bool)
    render_preview(scene, valid, pixels, SCHEME, areas_of(pixels, SCHEME), target=target)
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]


def test_the_same_picture_has_the_same_bytes(tmp_path):
    render(tmp_path, landscape(50, 60))
    first = (tmp_path / "preview.png").read_bytes()
    render(tmp_path, landscape(50, 60))
    assert (tmp_path / "preview.png").read_bytes() == first


def test_a_picture_is_left_as_it_is():
    bands = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    assert np.array_equal(stretch(bands, np.ones((3, 5), bool)), bands[:3].transpose(1, 2, 0))


def test_percentiles_are_those_of_valid_pixels():
    rng = np.random.default_rng(0)
    bands = rng.normal(3000, 500, (3, 100, 100)).astype(np.float32)
    bands[:, :50] = np.nan
    valid = np.ones((100, 100), dtype=bool)
    valid[90:] = False
    bands[:, 90:] = 1e9
    picture = stretch(bands, valid)
    assert (picture[:50] == 0).all()
    assert (picture[90:] == 0).all()
    inside = picture[50:90]
    assert (inside == 255).mean() == pytest.approx(0.02, abs=0.01)
    assert 100 < inside.mean() < 155


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, np.float64]),
        array_shapes(min_dims=3, max_dims=3, max_side=6),
    ),
    st.data(),
)
def test_any_bands_make_a_picture(bands, data):
    valid = data.draw(arrays(bool, bands.shape[1:]))
    picture = stretch(bands, valid)
    assert picture.shape == (*bands.shape[1:], 3)
    assert picture.dtype == np.uint8
    assert (picture[~valid] == 0).all()


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 4, 5), (4, 4)])
def test_bands_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="bands must be"):
        stretch(np.zeros(shape), np.ones((4, 4), dtype=bool))
