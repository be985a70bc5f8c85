from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from geocamss.errors import GeocamssWarning, InputError, SceneError
from geocamss.scene.catalog import JOB, find_scenes


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


def test_a_folder_of_scenes_that_holds_their_maps_as_well_is_its_scenes(folder):
    """With maps beside scenes, and a job's catalog of them, the same command finds the same."""
    home = folder / "c"
    (home / "catalog.json").write_text('{"type": "Catalog", "links": [{"rel": "item"}]}')
    with pytest.raises(SceneError, match="link without an address"):
        find_scenes([home])
    (home / JOB).mkdir()
    assert names(find_scenes([home])) == ["a"]
    (home / "a.tif").unlink()
    with pytest.raises(SceneError, match="link without an address"):
        find_scenes([home])


def test_a_scene_named_twice_is_mapped_once(folder):
    link = folder / "link.tif"
    link.symlink_to(folder / "c/a.tif")
    with pytest.warns(GeocamssWarning, match="3 of 4 scenes had been named before"):
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
    (folder / "semicolon.csv").write_text("\nid;path;cloud\n1;c/a.tif;0,5\n;;\n2;b/a.jp2;1\n")
    (folder / "bare-semicolon.csv").write_text("c/a.tif;0,5\nb/a.jp2;1\n")
    (folder / "list.tsv").write_text("id\tscene\n1;2\tc/a.tif\n2\tb/a.jp2\n")
    kinds = ("list.txt", "list.csv", "bare.csv", "semicolon.csv", "bare-semicolon.csv", "list.tsv")
    for name in kinds:
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
        (
            "head.csv",
            r"head.csv, line 1: 'filepath,cloud cover' is a heading .*call it one of path",
        ),
        ("head2.csv", r"line 1: 'id;image' is a heading without a column of scenes"),
        ("long.csv", r"long.csv: the list cannot be read: field larger"),
    ],
)
def test_what_names_no_scene_is_said(folder, source, error):
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_text("# nothing\n")
    (folder / "bad.txt").write_text("# not there\ngone.tif\n")
    (folder / "nest.txt").write_text("bad.txt\n")
    (folder / "latin.txt").write_bytes(b"\xff\xfe\xe9")
    (folder / "head.csv").write_text("filepath,cloud cover\nc/a.tif,3\n")
    (folder / "head2.csv").write_text("id;image\n1;c/a.tif\n")
    (folder / "long.csv").write_text("a" * 200_000)
    with pytest.raises(SceneError, match=error):
        find_scenes([folder / source])


def test_naming_nothing_is_an_error():
    with pytest.raises(InputError, match="no scene is named"):
        find_scenes([])


def test_what_cannot_be_used_spoils_none_of_the_others(folder):
    """One bad entry in each kind of source, beside one that is good."""
    (folder / "c/broken.zip").write_bytes(b"PK, and no archive")
    (folder / "c/dead.tif").symlink_to(folder / "nowhere.tif")
    damaged = folder / "b/X.SAFE"
    damaged.mkdir()
    (damaged / "MTD_MSIL2A.xml").write_text("<a><b></a>")
    (folder / "list.txt").write_text("b/a.jp2\nc/gone.tif\n")
    (folder / "none.csv").write_text("filepath\nc/a.tif\n")
    bad = {
        "broken": "is no sound archive",
        "dead": "no file, or a link to one that is not there",
        "X": "is not sound XML",
        "gone": "line 2: .*gone.tif: no such file",
        "none": "a heading without a column",
        "nothing": "no such file",
    }
    sources = [folder / "c", f"{folder}/b/*", folder / "list.txt", folder / "none.csv"]
    with pytest.warns(GeocamssWarning, match="1 of 10 scenes had"):
        found = find_scenes([*sources, folder / "nothing.tif"])
    good = {scene.id: Path(scene.path) for scene in found if not scene.problem}
    assert sorted(good) == ["S2A_20200102T101112", "a_jp2", "a_tif"]
    assert all(path.is_file() for path in good.values())
    problems = {scene.id: scene.problem for scene in found if scene.problem}
    assert sorted(problems) == sorted(bad)
    for name, problem in bad.items():
        assert re.search(problem, problems[name]), name


def test_a_scene_that_is_not_there_keeps_its_name_when_it_comes(folder):
    sources = [folder / "c/a.tif", folder / "gone/a.tif"]
    before = find_scenes(sources)
    assert [bool(scene.problem) for scene in before] == [False, True]
    (folder / "gone").mkdir()
    (folder / "gone/a.tif").touch()
    after = find_scenes(sources)
    assert names(before) == names(after)
    assert not any(scene.problem for scene in after)


def test_where_nothing_can_be_used_all_is_refused(folder):
    with pytest.raises(SceneError, match=r"one.tif: no such file; nor can any of 2 more"):
        find_scenes([folder / "one.tif", folder / "two.tif", f"{folder}/*.xyz"])
