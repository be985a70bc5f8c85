"""The plugin: brings its provider to QGIS and takes it away."""

from __future__ import annotations

from qgis.core import QgsApplication

from .provider import Provider

__all__ = ["Plugin"]


class Plugin:
    """What QGIS loads and unloads."""

    def __init__(self) -> None:
        self._provider: Provider | None = None

    def initProcessing(self) -> None:
        """Register the algorithms; ``qgis_process`` calls only this."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        """Begin, in the desktop."""
        self.initProcessing()

    def unload(self) -> None:
        """End."""
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None
