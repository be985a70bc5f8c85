"""Vectorize: ``geocamss vectorize`` in the toolbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from .algorithm import Algorithm
from .styled import style_layer

__all__ = ["FORMATS", "Vectorize"]

FORMATS = ("gpkg", "fgb", "parquet")
"""Endings of the files that the command writes."""

_HELP = """Turns a class raster into polygons with class, name, confidence and area.

Left as they are, the polygons are exactly the pixels. On request small ones are given to their \
neighbors, or left out where they lie in nodata alone; borders are smoothed, and simplified \
together, so that neighbors stay neighbors."""


class Vectorize(Algorithm):
    """``geocamss vectorize``."""

    NAME = "vectorize"
    TITLE = "Vectorize"
    HELP = _HELP
    TAGS = ("polygonize", "raster to vector", "classes", "simplify")

    CLASSES = "CLASSES"
    BAND = "BAND"
    MIN_AREA = "MIN_AREA"
    SIMPLIFY = "SIMPLIFY"
    SMOOTH = "SMOOTH"
    SQUARE = "SQUARE"
    CONFIDENCE = "CONFIDENCE"
    POLYGONS = "POLYGONS"

    def __init__(self) -> None:
        super().__init__()
        self._classes = ""
        self._confidence = ""

    def createInstance(self) -> Vectorize:
        """A copy that is shown or run."""
        return Vectorize()

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: ARG002 (as QGIS calls it)
        """Say which parameters there are."""
        number = QgsProcessingParameterNumber.Double
        self.addParameter(QgsProcessingParameterRasterLayer(self.CLASSES, "Class raster"))
        # Not set, the command refuses pictures: hence no band by default.
        self.addParameter(
            QgsProcessingParameterBand(
                self.BAND,
                "Band with the classes",
                parentLayerParameterName=self.CLASSES,
                optional=True,
            )
        )
        self.addParameter(
            QgsProcessingParameterNumber(
                self.MIN_AREA,
                "Give areas below so many square meters to their neighbors",
                number,
                optional=True,
                minValue=0.0,
            )
        )
        self.addParameter(
            QgsProcessingParameterNumber(
                self.SIMPLIFY, "Simplify borders by meters", number, optional=True, minValue=0.0
            )
        )
        self.addParameter(
            QgsProcessingParameterBoolean(self.SMOOTH, "Smooth borders", defaultValue=False)
        )
        self.addParameter(
            QgsProcessingParameterString(
                self.SQUARE, "Classes that get right angles, with commas between", optional=True
            )
        )
        self.addParameter(
            QgsProcessingParameterRasterLayer(
                self.CONFIDENCE, "Confidence in percent, on the same pixels", optional=True
            )
        )
        self.addParameter(
            QgsProcessingParameterVectorDestination(
                self.POLYGONS, "Polygons", QgsProcessing.TypeVectorPolygon
            )
        )

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: Any,  # noqa: ARG002 (as QGIS calls it)
    ) -> bool:
        """Look at the layers, which belong to QGIS's main thread."""
        self._classes = self.raster_path(parameters, self.CLASSES, context)
        if parameters.get(self.CONFIDENCE):
            self._confidence = self.raster_path(parameters, self.CONFIDENCE, context)
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: Any
    ) -> dict[str, Any]:
        """Write the polygons."""
        target = str(self.parameterAsOutputLayer(parameters, self.POLYGONS, context))
        if Path(target).suffix.lstrip(".").lower() not in FORMATS:
            raise QgsProcessingException(
                f"{target}: polygons go into a file that ends with .{', .'.join(FORMATS)}"
            )
        # Whoever chose a file that is there was asked by the dialog.
        words = ["vectorize", self._classes, "--out", target, "--overwrite", "--progress", "json"]
        if parameters.get(self.BAND) is not None:
            words += ["--band", str(self.parameterAsInt(parameters, self.BAND, context))]
        for name, option in ((self.MIN_AREA, "--min-area"), (self.SIMPLIFY, "--simplify")):
            amount = self.parameterAsDouble(parameters, name, context)
            if parameters.get(name) is not None and amount > 0:
                words += [option, repr(amount)]
        if self.parameterAsBool(parameters, self.SMOOTH, context):
            words.append("--smooth")
        for name in self.parameterAsString(parameters, self.SQUARE, context).split(","):
            if name.strip():
                words += ["--square", name.strip()]
        if self._confidence:
            words += ["--confidence", self._confidence]
        if not self.call(words, feedback):
            return {}
        style_layer(context, target)
        return {self.POLYGONS: target}
