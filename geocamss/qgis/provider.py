"""The provider: geocamss's algorithms in the Processing toolbox, and its one setting."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider, QgsVectorFileWriter
from qgis.PyQt.QtGui import QIcon

from .map_scene import MapScene
from .settings import EXECUTABLE
from .vectorize import FORMATS, Vectorize

__all__ = ["Provider"]


class Provider(QgsProcessingProvider):
    """The algorithms, by the name ``geocamss``."""

    def id(self) -> str:
        """What algorithms are called by, as in ``geocamss:map``."""
        return "geocamss"

    def name(self) -> str:
        """What the toolbox shows."""
        return "geocamss"

    def longName(self) -> str:
        """What the toolbox shows where there is room."""
        return "geocamss: maps from scenes"

    def icon(self) -> QIcon:
        """The picture in the toolbox."""
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def load(self) -> bool:
        """Offer the setting and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(
                self.name(),
                EXECUTABLE,
                "The geocamss command (left out: the one on the PATH or in ~/.local/bin)",
                "",
                valuetype=Setting.FILE,
            )
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away."""
        ProcessingConfig.removeSetting(EXECUTABLE)

    def loadAlgorithms(self) -> None:
        """Offer the algorithms. No program is called here: QGIS starts with this."""
        for algorithm in (MapScene(), Vectorize()):
            self.addAlgorithm(algorithm)

    def supportsNonFileBasedOutput(self) -> bool:
        """Whether results can go into memory or a database: geocamss writes files."""
        return False

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Endings of vector files, of those that this QGIS can open again."""
        known = QgsVectorFileWriter.supportedFormatExtensions()
        return [ending for ending in FORMATS if ending in known]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:  # noqa: ARG002, FBT001, FBT002, N803 (as QGIS calls it)
        """The ending of a vector file where none is chosen."""
        return FORMATS[0]
