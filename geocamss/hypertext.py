"""Hypertext: small tables in HTML, for notebooks and pages."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

__all__ = ["card", "escape", "swatch"]


def escape(text: object) -> str:
    """A text as it may stand in HTML, within an attribute as well.

    Control characters and lone surrogates, which no page can hold, become question marks.
    """
    shown = "".join(c if c.isprintable() or c in "\n\t\u00a0" else "\ufffd" for c in str(text))
    return html.escape(shown, quote=True)


def swatch(color: str) -> str:
    """A small square of a color given as ``#rrggbb``, in HTML."""
    return (
        '<svg width="12" height="12" style="vertical-align:-1px" role="presentation">'
        f'<rect width="12" height="12" rx="3" fill="{escape(color)}"/></svg>'
    )


def card(
    title: str,
    facts: Mapping[str, object],
    columns: Iterable[str] = (),
    rows: Iterable[Iterable[str]] = (),
) -> str:
    """A title, facts by name, and a table beneath, in HTML without scripts.

    Args:
        title: plain text.
        facts: plain values by name; empty ones and None are left out.
        columns: plain headings of the table.
        rows: cells of the table, in HTML already: see ``escape``.
    """
    left = 'style="text-align:left"'
    lines = "".join(
        f"<tr><th scope='row' {left}>{escape(name)}</th><td {left}>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    parts = [f"<div><strong>{escape(title)}</strong><table><tbody>{lines}</tbody></table>"]
    body = "".join(f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in row)}</tr>" for row in rows)
    if body:
        heads = "".join(f"<th scope='col' {left}>{escape(name)}</th>" for name in columns)
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")
    return "".join((*parts, "</div>"))
