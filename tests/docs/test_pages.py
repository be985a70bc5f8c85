"""Every command and every block of Python on the pages does what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import yaml
from shapely.geometry import box

import geocamss
from tests.conftest import ROOT

FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]*)")?\n(?P<code>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
"""A block of code; one with a title needs a machine of its own, and says which."""

ELSEWHERE = {
    "once, in a fresh clone",
    "once, in the clone",
    "on a machine with two GPUs",
    "on a cluster",
}
"""Titles of the blocks that cannot run here. The first two install what the tests run with."""

SHELL = Path(sys.executable).parent
"""Where geocamss and its Python are."""

LOOK = """
import os, pathlib, signal, sys, urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=120).read()
pathlib.Path("looked.html").write_bytes(page)
os.kill(os.getppid(), signal.SIGINT)
"""
"""A browser that keeps the page it is shown, and ends the command that shows it."""

PAGES = sorted(ROOT.glob("docs/**/*.md"))


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    title: str | None
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, found["language"], found["title"], found["code"])
        for found in FENCE.finditer(text)
    ]


def runnable(page: Path) -> list[Block]:
    return [b for b in blocks(page) if b.language in ("bash", "python") and b.title is None]


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """The files that the pages speak of: a part of the demo scene, labels, an area, a recipe."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "tiles").mkdir()
    window = rasterio.windows.Window(300, 200, 384, 384)
    for name in ("demo", "demo-truth"):
        with rasterio.open(ROOT / "tiles" / f"{name}.tif") as file:
            profile = file.profile | {"width": 384, "height": 384, "driver": "GTiff"}
            profile |= {"transform": file.window_transform(window)}
            profile.pop("photometric", None)
            pixels, kinds, tags = file.read(window=window), file.colorinterp, file.tags()
            colors = file.colormap(1) if file.count == 1 and name != "demo" else None
        with rasterio.open(folder / "tiles" / f"{name}.tif", "w", **profile) as file:
            file.write(pixels)
            file.update_tags(**tags)
            file.colorinterp = kinds
            if colors:
                file.write_colormap(1, colors)
            bounds, crs = file.bounds, profile["crs"]
    shutil.copy(folder / "tiles" / "demo.tif", folder / "scene.tif")
    (folder / "scenes").mkdir()
    shutil.copy(folder / "scene.tif", folder / "scenes" / "first.tif")
    write_vectors(folder, bounds, crs)
    write_parts(folder)
    content = {
        "name": "structure",
        "sources": [{"name": "own", "images": ["scene.tif"]}],
        "channels": 4,
        "training": {"batch": 2, "chip": 64, "epoch": 10},
    }
    (folder / "structure.yaml").write_text(yaml.safe_dump(content))
    return folder


def write_vectors(folder: Path, bounds, crs) -> None:
    left, bottom, right, top = bounds
    middle = (left + right) / 2
    kinds = gpd.GeoDataFrame(
        {"kind": ["west", "east"]},
        geometry=[box(left, bottom, middle, top), box(middle, bottom, right, top)],
        crs=crs,
    )
    kinds.to_crs(4326).to_file(folder / "labels.gpkg")
    part = gpd.GeoDataFrame(geometry=[box(left + 20, bottom + 20, middle, top - 30)], crs=crs)
    part.to_crs(4326).to_file(folder / "district.gpkg")


def write_parts(folder: Path) -> None:
    """The scene's bands in a file each."""
    (folder / "parts").mkdir()
    with rasterio.open(folder / "scene.tif") as file:
        for index, name in enumerate(("red", "green", "blue"), start=1):
            profile = {k: file.profile[k] for k in ("width", "height", "crs", "transform", "dtype")}
            with rasterio.open(
                folder / "parts" / f"scene_{name}.tif", "w", count=1, **profile
            ) as part:
                part.write(file.read(index), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if runnable(p) and p.name != "index.md"],
    ids=lambda p: p.relative_to(ROOT / "docs").as_posix(),
)
def test_what_stands_on_a_page_works(page, material, tmp_path):
    folder = tmp_path / "here"
    shutil.copytree(material, folder)
    todo = runnable(page)
    if page.stem == "bands":  # this page goes on from that of the labels
        todo = [*runnable(ROOT / "docs" / "howto" / "labels.md")[:1], *todo]
    run(todo, folder, f"{SHELL}{os.pathsep}{os.environ['PATH']}")
    shows = any(block.code.startswith("geocamss view") for block in todo)
    assert not shows or "<title>" in (folder / "looked.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="the page installs geocamss into a venv")
def test_the_first_page_needs_a_clone_and_what_it_installs_alone(material, tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(material / "tiles", folder / "tiles")
    assert all((ROOT / "tiles" / file.name).is_file() for file in (folder / "tiles").iterdir())
    (folder / "venv").symlink_to(sys.prefix)
    install, *_ = blocks(ROOT / "docs" / "index.md")
    assert "python3 -m venv venv && venv/bin/pip install" in install.code
    run(runnable(ROOT / "docs" / "index.md"), folder, os.defpath)


def run(todo: list[Block], folder: Path, path: str) -> None:
    """Do what a page says, from its top to its end, in one terminal."""
    look = folder.parent / "look.py"
    look.write_text(LOOK)
    script = "\n".join(
        f"python - <<'END'\n{block.code}END\n" if block.language == "python" else block.code
        for block in todo
    )
    environment = {
        "PATH": path,
        "PYTHONWARNINGS": "default",
        "BROWSER": f"{shlex.join([sys.executable, str(look)])} %s &",
    }
    command = ["bash", "-euxc", script]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_blocks_that_need_another_machine_are_few_and_known():
    titles = {block.title for page in PAGES for block in blocks(page) if block.title}
    assert titles <= ELSEWHERE


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    card = (tmp_path / "site" / "reference" / "schemas" / "index.html").read_text()
    assert "Ground sample distance that the model was trained at" in card
    assert "geocamss vectorize" in (tmp_path / "site/reference/cli/index.html").read_text()


def test_every_public_name_is_on_the_page_of_references():
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^::: (\S+)$", page, re.MULTILINE))
    public = [getattr(geocamss, name) for name in geocamss.__all__ if name != "__version__"]
    assert {f"{each.__module__}.{each.__name__}" for each in public} <= told
