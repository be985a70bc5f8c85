"""Map a scene: ``geocamss predict`` in the toolbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSink,
    QgsFields,
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsVectorFileWriter,
)

from .algorithm import Algorithm
from .settings import DEFAULT_MODEL, model_names
from .styled import open_layer

__all__ = ["MapScene"]

OUTPUTS = ("classes", "confidence", "polygons", "style", "project", "item", "preview", "page")
"""What a run can write, by the command's names."""

_RASTER = QgsProcessingUtils.LayerHint.Raster
_VECTOR = QgsProcessingUtils.LayerHint.Vector

LAYERS = {
    "CLASSES": ("classes", "classes.tif", _RASTER),
    "CONFIDENCE": ("confidence", "confidence.tif", _RASTER),
    "POLYGONS": ("polygons", "polygons.gpkg|layername=polygons", _VECTOR),
}
"""Output of the algorithm to the command's name for it, its file, and what kind of layer it is."""

OPENED = ("classes", "polygons")
"""What is opened in QGIS unless other layers are chosen."""

_HELP = """Turns a scene into a class map, its confidence and its polygons, in a folder.

<b>Scene</b>: a raster layer or file with the bands that the model wants.
<b>Model</b>: one that came with geocamss, or a model file of your own.
<b>Area of interest</b>: only what lies inside these polygons is mapped.
<b>Pixel size</b>: of the map, in meters. Left out: the scene's own where it suits the model, else \
the model's.

A run that is canceled can be taken up: run it again with the same folder."""


class MapScene(Algorithm):
    """``geocamss predict``."""

    NAME = "map"
    TITLE = "Map a scene"
    HELP = _HELP
    TAGS = ("land cover", "classification", "segmentation", "imagery", "deep learning")

    SCENE = "SCENE"
    MODEL = "MODEL"
    MODEL_FILE = "MODEL_FILE"
    AREA = "AREA"
    GSD = "GSD"
    NATIVE = "NATIVE"
    BANDS = "BANDS"
    CRS = "CRS"
    STEPS = "STEPS"
    SAMPLES = "SAMPLES"
    SEED = "SEED"
    DEVICE = "DEVICE"
    OUTPUTS = "OUTPUTS"
    OPEN = "OPEN"
    OVERWRITE = "OVERWRITE"
    FOLDER = "FOLDER"
    PROJECT = "PROJECT"

    def __init__(self, models: list[str] | None = None) -> None:
        super().__init__()
        self._models = models or [DEFAULT_MODEL]
        self._scene = ""

    def createInstance(self) -> MapScene:
        """A copy that is shown or run, with the models that there are now."""
        return MapScene(model_names())

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:  # noqa: ARG002 (as QGIS calls it)
        """Say which parameters and outputs there are."""
        for parameter in self._parameters():
            self.addParameter(parameter)
        for parameter in self._advanced():
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
            self.addParameter(parameter)
        self.addParameter(QgsProcessingParameterFolderDestination(self.FOLDER, "Folder of the map"))
        self.addOutput(QgsProcessingOutputRasterLayer("CLASSES", "Class map"))
        self.addOutput(QgsProcessingOutputRasterLayer("CONFIDENCE", "Confidence"))
        self.addOutput(QgsProcessingOutputVectorLayer("POLYGONS", "Polygons"))
        self.addOutput(QgsProcessingOutputFile(self.PROJECT, "Project"))

    def _parameters(self) -> list[Any]:
        default = DEFAULT_MODEL if DEFAULT_MODEL in self._models else self._models[0]
        return [
            QgsProcessingParameterRasterLayer(self.SCENE, "Scene"),
            QgsProcessingParameterEnum(
                self.MODEL,
                "Model",
                options=self._models,
                defaultValue=default,
                usesStaticStrings=True,
            ),
            QgsProcessingParameterFile(
                self.MODEL_FILE,
                "Model file, instead of the model above",
                fileFilter="Models (*.safetensors)",
                optional=True,
            ),
            QgsProcessingParameterFeatureSource(
                self.AREA,
                "Area of interest",
                [QgsProcessing.TypeVectorPolygon],
                optional=True,
            ),
            QgsProcessingParameterNumber(
                self.GSD,
                "Pixel size in meters",
                QgsProcessingParameterNumber.Double,
                optional=True,
                minValue=0.0,
            ),
            QgsProcessingParameterEnum(
                self.OUTPUTS,
                "What to write",
                options=list(OUTPUTS),
                allowMultiple=True,
                defaultValue=list(OUTPUTS),
                usesStaticStrings=True,
            ),
            QgsProcessingParameterEnum(
                self.OPEN,
                "What to open when it is done",
                options=[name for name, _, _ in LAYERS.values()],
                allowMultiple=True,
                defaultValue=list(OPENED),
                optional=True,
                usesStaticStrings=True,
            ),
            QgsProcessingParameterBoolean(
                self.OVERWRITE, "Replace a map that is in the folder", defaultValue=False
            ),
        ]

    def _advanced(self) -> list[Any]:
        whole = QgsProcessingParameterNumber.Integer
        return [
            QgsProcessingParameterBoolean(
                self.NATIVE, "Keep the scene's own pixels", defaultValue=False
            ),
            QgsProcessingParameterString(
                self.BANDS,
                "Which band is which, as in red=3,green=2,blue=1",
                optional=True,
            ),
            QgsProcessingParameterCrs(self.CRS, "CRS of the map", optional=True),
            QgsProcessingParameterNumber(
                self.STEPS, "Sampler steps", whole, optional=True, minValue=1, maxValue=1000
            ),
            QgsProcessingParameterNumber(
                self.SAMPLES,
                "Maps drawn and averaged",
                whole,
                defaultValue=1,
                minValue=1,
                maxValue=1000,
            ),
            QgsProcessingParameterNumber(
                self.SEED, "Seed of the noise", whole, defaultValue=0, minValue=0
            ),
            QgsProcessingParameterString(
                self.DEVICE, "Device, such as cpu or cuda; left out: the best one", optional=True
            ),
        ]

    def prepareAlgorithm(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        feedback: Any,  # noqa: ARG002 (as QGIS calls it)
    ) -> bool:
        """Look at the layers, which belong to QGIS's main thread."""
        self._scene = self.raster_path(parameters, self.SCENE, context)
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: Any
    ) -> dict[str, Any]:
        """Map the scene, and say what is to be opened."""
        folder = Path(self.parameterAsString(parameters, self.FOLDER, context))
        outputs = self.parameterAsEnumStrings(parameters, self.OUTPUTS, context)
        if not self.call(self._arguments(parameters, context, folder, outputs), feedback):
            feedback.pushInfo(f"Stopped. Run it again with the folder {folder} to go on.")
            return {}
        opened = self.parameterAsEnumStrings(parameters, self.OPEN, context)
        results = {self.FOLDER: str(folder)}
        for key, (name, file, kind) in LAYERS.items():
            if name in outputs:
                results[key] = str(folder / file)
                if name in opened:
                    open_layer(context, results[key], f"{folder.name} {name}", key, kind)
        if "project" in outputs:
            results[self.PROJECT] = str(folder / "map.qgz")
        return results

    def _arguments(
        self,
        parameters: dict[str, Any],
        context: QgsProcessingContext,
        folder: Path,
        outputs: list[str],
    ) -> list[str]:
        """What stands behind ``geocamss``."""
        file = self.parameterAsString(parameters, self.MODEL_FILE, context)
        model = file or self.parameterAsEnumString(parameters, self.MODEL, context)
        words = ["predict", self._scene, "--out", str(folder), "--progress", "json"]
        words += ["--model", model, "--outputs", ",".join(outputs)]
        area = self._area(parameters, context)
        if area is not None:
            words += ["--aoi", area]
        if self.parameterAsBool(parameters, self.NATIVE, context):
            words += ["--gsd", "native"]
        elif parameters.get(self.GSD) is not None:
            words += ["--gsd", repr(self.parameterAsDouble(parameters, self.GSD, context))]
        crs = self.parameterAsCrs(parameters, self.CRS, context)
        if crs.isValid():
            code = crs.authid()
            # What a user has defined has a number that QGIS alone knows.
            known = ":" in code and not code.startswith("USER:")
            words += ["--crs", code if known else crs.toWkt()]
        for name, option in ((self.BANDS, "--bands"), (self.DEVICE, "--device")):
            text = self.parameterAsString(parameters, name, context).strip()
            if text:
                words += [option, text]
        if parameters.get(self.STEPS) is not None:
            words += ["--steps", str(self.parameterAsInt(parameters, self.STEPS, context))]
        for name, option in ((self.SAMPLES, "--samples"), (self.SEED, "--seed")):
            words += [option, str(self.parameterAsInt(parameters, name, context))]
        if self.parameterAsBool(parameters, self.OVERWRITE, context):
            words.append("--overwrite")
        return words

    def _area(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        """The area of interest as a file: whatever it is in QGIS, or the features chosen of it."""
        source = self.parameterAsSource(parameters, self.AREA, context)
        if source is None:
            return None
        target = QgsProcessingUtils.generateTempFilename("area.gpkg")
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = "GPKG"
        writer = QgsVectorFileWriter.create(
            target,
            QgsFields(),
            source.wkbType(),
            source.sourceCrs(),
            context.transformContext(),
            options,
        )
        for feature in source.getFeatures(QgsFeatureRequest().setNoAttributes()):
            shape = QgsFeature()
            shape.setGeometry(feature.geometry())
            writer.addFeature(shape, QgsFeatureSink.FastInsert)
        trouble = writer.errorMessage() if writer.hasError() else ""
        del writer  # closes the file
        if trouble:
            raise QgsProcessingException(f"the area of interest cannot be written: {trouble}")
        return str(target)
