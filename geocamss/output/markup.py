"""Markup: the XML that GDAL and QGIS keep beside rasters, element by element."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

__all__ = ["add", "add_options", "document", "plain"]

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def add(parent: ET.Element | None, tag: str, text: str = "", /, **attributes: Any) -> ET.Element:
    """A new element, the last one of its parent, if it has one.

    Args:
        parent: where it goes; None makes a root.
        tag: its name.
        text: what stands in it.
        attributes: values that are written as text; an underscore before a name keeps it from
            Python, as in ``_class``.
    """
    texts = {key.lstrip("_"): plain(str(value)) for key, value in attributes.items()}
    made = ET.Element(tag, texts) if parent is None else ET.SubElement(parent, tag, texts)
    made.text = plain(text) or None
    return made


def add_options(parent: ET.Element, **values: str) -> None:
    """Properties, as QGIS writes them now and as it wrote them before 3.20."""
    now = add(parent, "Option", type="Map")
    for key, value in values.items():
        add(now, "Option", name=key, type="QString", value=value)
    for key, value in values.items():
        add(parent, "prop", k=key, v=value)


def plain(text: str) -> str:
    """What XML can hold of a text: no control characters, no lone surrogates."""
    return "".join(c if c.isprintable() or c == "\u00a0" else "\ufffd" for c in text)


def document(root: ET.Element) -> str:
    """The text of a document, as QGIS begins its own."""
    ET.indent(root)
    return _DOCTYPE + ET.tostring(root, encoding="unicode") + "\n"
