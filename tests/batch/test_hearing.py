"""Tasks of one process hear their own warnings, in whatever order they come and go."""

from __future__ import annotations

import threading
import warnings

import pytest

from geocamss.batch.hearing import Hearing
from geocamss.errors import GeocamssWarning


@pytest.mark.parametrize("first_leaves_first", [True, False])
def test_tasks_that_overlap_hear_their_own(first_leaves_first):
    hearing = Hearing()
    said: dict[str, list[str]] = {}
    inside = threading.Barrier(3, timeout=20)
    leave = {"one": threading.Event(), "two": threading.Event()}

    def task(name: str) -> None:
        with hearing.of_task() as messages:
            inside.wait()
            for _ in range(2):
                warnings.warn(f"{name} begins", GeocamssWarning, stacklevel=1)
            warnings.warn("of no matter", UserWarning, stacklevel=1)
            assert leave[name].wait(20)
            warnings.warn(f"{name} ends", GeocamssWarning, stacklevel=1)
        said[name] = messages

    filters, show = list(warnings.filters), warnings.showwarning
    threads = {name: threading.Thread(target=task, args=(name,)) for name in leave}
    for thread in threads.values():
        thread.start()
    inside.wait()
    for name in ("one", "two") if first_leaves_first else ("two", "one"):
        leave[name].set()
        threads[name].join(20)
    for name in threads:
        assert said[name] == [f"{name} begins", f"{name} begins", f"{name} ends"]
    assert (warnings.filters, warnings.showwarning) == (filters, show)


def test_what_a_task_has_others_do_is_heard():
    hearing = Hearing()

    def helper() -> None:
        warnings.warn("help", GeocamssWarning, stacklevel=1)

    with hearing.of_task() as messages:
        thread = threading.Thread(target=helper)
        thread.start()
        thread.join()
    assert messages == ["help"]
    with pytest.warns(GeocamssWarning, match="help"):
        helper()
