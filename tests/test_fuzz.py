"""Whatever stands in a card, a recipe, a journal or a catalog: only our own errors come out."""

from __future__ import annotations

import json
import resource
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from geocamss.errors import GeocamssError, GeocamssWarning, ModelError, RecipeError, SceneError
from geocamss.models.header import CARD, read_card
from geocamss.models.registry import names, path
from geocamss.output.folder import JOURNAL, READY, OutputFolder, read_key
from geocamss.scene.bundle import Bundle
from geocamss.scene.catalog import find_scenes
from geocamss.scene.landsat import find_landsat
from geocamss.scene.package import Package
from geocamss.scene.resolve import resolve
from geocamss.scene.scene import Scene
from geocamss.scene.sentinel2 import find_sentinel2
from geocamss.training.recipe import load_recipe
from tests.conftest import ROOT
from tests.scene import products


@contextmanager
def only_ours(where: object = "") -> Iterator[None]:
    """Lets errors of ours pass, if they say where."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GeocamssWarning)
            yield
    except GeocamssError as error:
        if str(where) not in str(error):
            raise AssertionError(f"does not name {where}: {error}") from error


many = settings(max_examples=150, suppress_health_check=list(HealthCheck))

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["../../x", "/etc/passwd", "B04", "red", "Feature", "1e400", "nan", "\0", "{}"]
    ),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """A sound document with up to three parts replaced, removed or doubled."""
    copy = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        place, keys = copy, []
        while isinstance(place, (dict, list)) and len(place):
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if not isinstance(place[key], (dict, list)) or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    place[key] = draw(JSON)
                else:
                    del place[key]
                break
            place = place[key]
    return copy


def card_file(folder: Path, metadata: Any, *, length: int | None = None) -> Path:
    """A file as safetensors has it, with whatever metadata."""
    header = json.dumps({"__metadata__": metadata}).encode()
    target = folder / "model.safetensors"
    target.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header)
    return target


def real_card() -> dict[str, Any]:
    return read_card(path(names()[0])).model_dump(mode="json")


SOUND_CARD = real_card()


@many
@given(metadata=JSON | mutated(SOUND_CARD).map(lambda card: {CARD: json.dumps(card)}))
@example(metadata={CARD: "[" * 100_000})
@example(metadata={CARD: '{"chip": 1e999}'})
@example(metadata={CARD: json.dumps(SOUND_CARD | {"classes": None})})
@example(metadata={CARD: json.dumps(SOUND_CARD | {"classes": {"name": "a"}})})
@example(metadata={CARD: json.dumps(SOUND_CARD | {"classes": [{"name": "a", "color": 1}]})})
def test_cards_are_read_or_refused(tmp_path_factory, metadata):
    target = card_file(tmp_path_factory.mktemp("card"), metadata)
    with only_ours(target):
        read_card(target)


@many
@given(data=st.binary(max_size=200), length=st.integers(0, 2**64 - 1))
def test_model_files_of_any_bytes_are_refused(tmp_path_factory, data, length):
    target = tmp_path_factory.mktemp("model") / "m.safetensors"
    for content in (data, struct.pack("<Q", length) + data):
        target.write_bytes(content)
        with pytest.raises(ModelError):
            read_card(target)


RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def sound_recipe() -> Any:
    import yaml

    return yaml.safe_load(RECIPES[0].read_text())


@many
@given(content=mutated(sound_recipe()) | JSON)
def test_recipes_are_read_or_refused(tmp_path_factory, content):
    target = tmp_path_factory.mktemp("recipe") / "r.yaml"
    target.write_text(json.dumps(content))  # YAML, too
    with only_ours(target):
        load_recipe(target)


@many
@given(text=st.text(max_size=300) | st.sampled_from(["&a [*a]", "!!python/object:os.system x"]))
@example(text="a: " + "[" * 5000)
@example(text="a: 2024-13-45")
def test_recipes_of_any_text_are_refused(tmp_path_factory, text):
    target = tmp_path_factory.mktemp("recipe") / "r.yaml"
    target.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RecipeError):
        load_recipe(target)


@pytest.mark.parametrize("outside", ["../x", "/etc", "a/../../b", "a/..", "https://x.org/a"])
@pytest.mark.parametrize("field", ["folders", "images", "masks"])
def test_paths_of_a_recipe_stay_in_their_folder(tmp_path, outside, field):
    recipe = sound_recipe()
    source = next(source for source in recipe["sources"] if "folders" in source)
    source[field] = [outside] if field == "folders" else outside
    target = tmp_path / "r.yaml"
    target.write_text(json.dumps(recipe))
    with pytest.raises(RecipeError, match="inside"):
        load_recipe(target)


CONTENT = st.none() | JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


@many
@given(journal=CONTENT, ready=CONTENT)
@example(journal=None, ready=b"")
@example(journal=b"[" * 100_000, ready=b"[" * 100_000)
@example(journal=b"{", ready=b"5")
@example(journal=b'{"key": [1]}', ready=b'["../../x", {}]')
def test_journals_are_understood_or_begun_anew(tmp_path_factory, journal, ready):
    folder = tmp_path_factory.mktemp("out")
    taken = OutputFolder(folder, ("classes.tif",), "k" * 64, {}, overwrite=False)
    taken.work.mkdir(parents=True)
    for name, content in ((JOURNAL, journal), (READY, ready)):
        if content is not None:
            (taken.work / name).write_bytes(content)
    key = read_key(taken.work)
    assert key is None or isinstance(key, str)
    with only_ours(folder), taken:
        assert read_key(taken.work) == "k" * 64


ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "x",
    "properties": {"datetime": "2024-01-01T00:00:00Z", "s2:processing_baseline": "05.00"},
    "links": [{"rel": "self", "href": "./x.json"}],
    "assets": {
        "red": {
            "href": "./B04.tif",
            "type": "image/tiff",
            "roles": ["data"],
            "eo:bands": [{"name": "B04", "common_name": "red", "center_wavelength": 0.66}],
            "raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}],
        },
        "scl": {"href": "./SCL.tif", "type": "image/tiff"},
    },
}
COLLECTION = {"type": "FeatureCollection", "features": [ITEM, ITEM]}
CATALOG = {"type": "Catalog", "id": "c", "links": [{"rel": "item", "href": "./x.json"}]}


@many
@given(document=JSON | mutated(ITEM) | mutated(COLLECTION) | mutated(CATALOG), sound=st.booleans())
@example(document={**ITEM, "assets": {"a": {"href": "HDF5:x", "type": "image/tiff"}}}, sound=True)
def test_catalogs_are_read_or_refused(tmp_path_factory, document, sound):
    folder = tmp_path_factory.mktemp("stac")
    (folder / "x.json").write_text(json.dumps(ITEM) if sound else "{")
    target = folder / "c.json"
    target.write_text(json.dumps(document))
    with only_ours():
        for scene in find_scenes([target]):
            assert scene.id
            assert not {"/", "\0", "\\"} & set(scene.id)
            if Bundle.is_text(scene.path):
                Bundle.from_text(scene.path)
    with only_ours():
        Scene.open(target)


BUNDLE = {
    "geocamss-bundle": 1,
    "source": "s",
    "id": "i",
    "bands": [
        {
            "name": "red",
            "path": "/nowhere/a.tif",
            "band": 1,
            "scale": 1e-4,
            "offset": 0.0,
            "nodata": 0,
            "wavelength": None,
            "apart": False,
        }
    ],
    "quality": [{"path": "/nowhere/q.tif", "band": 1, "values": [0, 3], "bits": 0}],
    "datetime": "2024-01-01T00:00:00+00:00",
    "platform": "",
    "notes": [],
    "files": [],
    "trusted": False,
}


@many
@given(document=mutated(BUNDLE))
def test_bundles_in_words_are_read_or_refused(document):
    text = json.dumps({"geocamss-bundle": 1, **document})
    assert Bundle.is_text(text)
    try:
        bundle = Bundle.from_text(text)
    except SceneError:
        return
    assert Bundle.from_text(bundle.to_text()).to_text() == bundle.to_text()


@many
@given(text=st.text(max_size=200), ending=st.sampled_from(["txt", "csv", "tsv"]))
def test_lists_are_read_or_refused(tmp_path_factory, text, ending):
    target = tmp_path_factory.mktemp("list") / f"l.{ending}"
    target.write_bytes(text.encode("utf-8", "surrogatepass"))
    with only_ours(target):
        find_scenes([target])


TEXTS = (
    products.s2_metadata("2A", "05.11", -1000),
    json.dumps(products.landsat_metadata(products.PRODUCT)),
)


@many
@given(data=st.data())
def test_metadata_of_products_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("product")
    images = folder / "GRANULE/G/IMG_DATA/R10m"
    images.mkdir(parents=True)
    (images / "T32TPS_20240830T100559_B04_10m.jp2").touch()
    (folder / f"{products.PRODUCT}_SR_B4.TIF").touch()
    for name, text in zip(("MTD_MSIL2A.xml", f"{products.PRODUCT}_MTL.json"), TEXTS, strict=True):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 30)))
        (folder / name).write_text(text[:start] + data.draw(st.text(max_size=8)) + text[stop:])
    for find in (find_sentinel2, find_landsat, lambda package: resolve(str(package.path))):
        with only_ours(folder):
            find(Package(folder))


@pytest.mark.parametrize(
    ("samples", "lines", "bands"), [(2**31 - 1, 2**31 - 1, 1), (2, 2, 10**6), (2**31 - 1, 2**30, 3)]
)
def test_headers_that_claim_too_much_are_refused_without_memory(tmp_path, samples, lines, bands):
    target = tmp_path / "huge.img"
    target.write_bytes(bytes(64))
    target.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 1\ninterleave = bsq\nbyte order = 0\n"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SceneError, match=r"huge\.img"):
        Scene.open(target)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("band", "count"), [('<VRTRasterBand band="1"/>', 10**6), ("<VRTRasterBand/>", 4 * 10**6)]
)
def test_a_vrt_of_a_million_bands_is_refused_without_memory(tmp_path, band, count, nested):
    target = tmp_path / "many.vrt"
    with target.open("w") as file:
        file.write('<VRTDataset rasterXSize="4" rasterYSize="4">')
        file.writelines(band * 1000 for _ in range(count // 1000))
        file.write("</VRTDataset>")
    words = str(target)
    if nested:
        words = (
            '<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1">'
            f"<SimpleSource><SourceFilename>{target}</SourceFilename><SourceBand>1</SourceBand>"
            '<SourceProperties RasterXSize="4" RasterYSize="4" DataType="Byte" BlockXSize="4" '
            'BlockYSize="1"/></SimpleSource></VRTRasterBand></VRTDataset>'
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SceneError, match=r"many\.vrt: .*(claims \d,000,000 bands|VRT of .* bytes)"):
        Scene.open(words)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
