from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from geocamss.errors import InputError, SceneError
from geocamss.scene.catalog import find_scenes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/S2A_20200102T101112.tif", "b/a.jp2", "c/a.tif", "c/notes.md", "c/d/a.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found) -> list[str]:
    return [scene.id for scene in found]


def test_folders_globs_and_files_name_scenes_in_order(folder):
    found = find_scenes(
        [folder / "c", f"{folder}/b/*.jp2", str(folder / "b/S2A_20200102T101112.tif")]
    )
    assert [Path(scene.path).relative_to(folder).as_posix() for scene in found] == [
        "c/a.tif",
        "b/a.jp2",
        "b/S2A_20200102T101112.tif",
    ]
    assert found[-1].datetime == dt.datetime(2020, 1, 2, 10, 11, 12, tzinfo=dt.UTC)


def test_a_scene_named_twice_is_mapped_once(folder):
    link = folder / "link.tif"
    link.symlink_to(folder / "c/a.tif")
    found = find_scenes([folder / "c/a.tif", f"{folder}/c/../c/a.tif", link, folder / "c"])
    assert names(found) == ["a"]


def test_scenes_of_one_name_are_told_apart_whatever_their_order(folder):
    paths = [folder / "b/a.jp2", folder / "c/a.tif", folder / "c/d/a.tif"]
    found = {scene.path: scene.id for scene in find_scenes(paths)}
    assert sorted(found.values()) == ["a_jp2", "c-a_tif", "d-a_tif"]
    assert found == {scene.path: scene.id for scene in find_scenes(paths[::-1])}


def test_lists_are_read_from_where_they_lie(folder):
    (folder / "list.txt").write_text("# scenes\nc/a.tif\n\nb/*.jp2\n")
    (folder / "list.csv").write_text('day,Path\n1,"c/a.tif"\n2,b/a.jp2\n')
    (folder / "bare.csv").write_text("c/a.tif\nb/a.jp2\n")
    for name in ("list.txt", "list.csv", "bare.csv"):
        found = find_scenes([folder / name])
        assert [Path(scene.path).relative_to(folder).as_posix() for scene in found] == [
            "c/a.tif",
            "b/a.jp2",
        ]


def test_urls_are_scenes():
    found = find_scenes(["https://example.org/x/scene.tif?token=1", "s3://bucket/key.tif"])
    assert names(found) == ["scene", "key"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("gone.tif", "gone.tif: no such file"),
        ("*.xyz", "no file matches"),
        ("empty", "holds neither a raster"),
        ("empty.txt", "the list is empty"),
        ("bad.txt", r"bad.txt, line 2: .*gone.tif: no such file"),
        ("nest.txt", "a list within a list"),
        ("latin.txt", "cannot be read"),
    ],
)
def test_what_names_no_scene_is_said(folder, source, error):
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "bad.txt").write_text("c/a.tif\ngone.tif\n")
    (folder / "nest.txt").write_text("bad.txt\n")
    (folder / "latin.txt").write_bytes(b"\xff\xfe\xe9")
    with pytest.raises(SceneError, match=error):
        find_scenes([folder / source])


def test_naming_nothing_is_an_error():
    with pytest.raises(InputError, match="no scene is named"):
        find_scenes([])
