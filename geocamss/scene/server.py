"""A server on the web: asked, and asked again where it stumbles."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

__all__ = ["ask"]

T = TypeVar("T")


def ask(
    url: str,
    take: Callable[[http.client.HTTPResponse], T],
    *,
    timeout: float,
    waits: Sequence[float],
    stumbles: Collection[int],
    headers: Mapping[str, str] | None = None,
) -> T:
    """Ask for a URL, until the server answers or has been asked often enough.

    Args:
        url: by http or https; the caller has seen to that.
        take: makes of an answer what is wanted. It is asked anew if this raises as below.
        timeout: seconds that the server has to answer.
        waits: seconds before it is asked for the second time, for the third, and so on.
        stumbles: what it answers that may answer well a little later.
        headers: to send along.

    Raises:
        urllib.error.HTTPError: it answers with an error; it is closed.
        OSError: it does not answer.
        http.client.HTTPException: it does not answer as servers do, or not to the end.
        ValueError: the URL is none.
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 (see above)
    for wait in (*waits, None):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 (http only)
                return take(answer)
        except urllib.error.HTTPError as error:
            error.close()
            if wait is None or error.code not in stumbles:
                raise
        except (OSError, http.client.HTTPException):
            if wait is None:
                raise
        time.sleep(wait)
    raise AssertionError("the last attempt answers or raises")
