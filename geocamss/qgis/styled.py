"""Styled: layers that are opened with the style that lies beside them or within."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
)

__all__ = ["open_layer", "style_layer"]


class _Styler(QgsProcessingLayerPostProcessorInterface):
    """Gives a new layer its default style: QGIS gives rasters from algorithms another."""

    def postProcessLayer(self, layer: Any, context: Any, feedback: Any) -> None:  # noqa: ARG002 (as QGIS calls it)
        layer.loadDefaultStyle()
        layer.triggerRepaint()


_STYLERS: list[_Styler] = []
"""One a layer: QGIS deletes what it was given, and keeps no hold of Python's half until then."""


def open_layer(context: QgsProcessingContext, path: str, name: str, key: str, hint: Any) -> None:
    """Have a layer opened, with its own style, when the algorithm is done.

    Args:
        context: of the run.
        path: the layer's source.
        name: what the legend is to call it.
        key: the algorithm's output that it is.
        hint: which kind of layer it is, as ``QgsProcessingUtils.LayerHint``.
    """
    details = QgsProcessingContext.LayerDetails(name, context.project(), key, hint)
    context.addLayerToLoadOnCompletion(path, details)
    style_layer(context, path)


def style_layer(context: QgsProcessingContext, path: str) -> None:
    """Give a layer its own style, if it is going to be opened."""
    if context.willLoadLayerOnCompletion(path):
        _STYLERS.append(_Styler())
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(_STYLERS[-1])
