"""A QGIS plugin that maps scenes with an installed geocamss.

It runs inside QGIS's own Python and imports nothing of geocamss: it calls the command. What the
plugin is made of is packed by ``geocamss qgis-plugin``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plugin import Plugin

__all__ = ["classFactory"]


def classFactory(iface: Any) -> Plugin:  # noqa: ARG001  (as QGIS calls it)
    """Make the plugin: what QGIS calls first."""
    from .plugin import Plugin

    return Plugin()
