"""Files are there whole, or not at all."""

from __future__ import annotations

import pytest

from geocamss.whole import whole


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "map.v2.tif"
    with whole(target) as part:
        part.write_text("new")
        assert part.suffix == ".tif"
        assert part.parent == tmp_path
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_what_was_there(tmp_path):
    target = tmp_path / "map.tif"
    target.write_text("old")

    def fill() -> None:
        with whole(target) as part:
            part.write_text("half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fill()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_run_left_is_written_over(tmp_path):
    target = tmp_path / "map.tif"
    with whole(target) as part:
        part.write_text("one")
        left = part
    left.write_text("half of a long one")
    with whole(target) as part:
        part.write_text("two")
    assert target.read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]
