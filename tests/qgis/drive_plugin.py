"""Runs the plugin's algorithms in QGIS and prints what came of it, as JSON.

``python3 drive_plugin.py FOLDER JOBS``: FOLDER holds the unpacked plugin, JOBS is a JSON file with
a list of jobs: ``algorithm``, ``parameters``, and on request ``area`` (WKT in longitude and
latitude, given as a layer in memory), ``cancel_at`` (percent), ``executable`` (the setting) and
``opened`` (the destination that the dialog is told to open).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsVectorLayer,
)


class Feedback(QgsProcessingFeedback):
    def __init__(self, cancel_at: float | None) -> None:
        super().__init__(False)
        self.cancel_at = cancel_at
        self.warnings: list[str] = []
        self.highest = 0.0
        self.progressChanged.connect(self.note)

    def note(self, progress: float) -> None:
        self.highest = max(self.highest, progress)
        if self.cancel_at is not None and progress >= self.cancel_at:
            self.cancel()

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)
        super().pushWarning(warning)


def look_at_layer(layer) -> dict:
    renderer = layer.renderer()
    found = {"name": layer.name(), "valid": layer.isValid(), "renderer": renderer.type()}
    if found["renderer"] == "paletted":
        found["legend"] = [[c.value, c.label, c.color.name()] for c in renderer.classes()]
    elif found["renderer"] == "categorizedSymbol":
        found["legend"] = [
            [int(c.value()), c.label(), c.symbol().color().name()] for c in renderer.categories()
        ]
        found["count"] = layer.featureCount()
    return found


def run(job: dict) -> dict:
    from processing.core.ProcessingConfig import ProcessingConfig
    from processing.gui.Postprocessing import handleAlgorithmResults

    ProcessingConfig.setSettingValue("GEOCAMSS_EXECUTABLE", job.get("executable", ""))
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(job["algorithm"])
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    feedback = Feedback(job.get("cancel_at"))
    parameters = dict(job["parameters"])
    if "area" in job:
        area = QgsVectorLayer("Polygon?crs=EPSG:4326", "area", "memory")
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromWkt(job["area"]))
        area.dataProvider().addFeature(feature)
        QgsProject.instance().addMapLayer(area, False)
        parameters["AREA"] = area.id()
    if "proj" in job:
        crs = QgsCoordinateReferenceSystem.fromProj(job["proj"])
        crs.saveAsUserCrs("of my own")
        parameters["CRS"] = crs
    if "opened" in job:
        target = parameters[job["opened"]]
        parameters[job["opened"]] = QgsProcessingOutputLayerDefinition(
            target, QgsProject.instance()
        )
    before = set(QgsProject.instance().mapLayers())
    able = algorithm.canExecute()
    try:
        results, ok = algorithm.run(parameters, context, feedback, {}, False)
        error = ""
    except QgsProcessingException as failure:
        results, ok, error = {}, False, str(failure)
    if ok:  # what the toolbox's dialog does then
        handleAlgorithmResults(algorithm, context, feedback, parameters=parameters)
    order = QgsProject.instance().layerTreeRoot().layerOrder()
    return {
        "able": able,
        "ok": ok,
        "error": error,
        "results": results,
        "progress": feedback.highest,
        "canceled": feedback.isCanceled(),
        "warnings": feedback.warnings,
        "log": feedback.textLog(),
        "layers": [look_at_layer(layer) for layer in order if layer.id() not in before],
    }


def describe(algorithm) -> dict:
    return {
        "name": algorithm.displayName(),
        "help": algorithm.shortHelpString(),
        "parameters": {p.name(): p.type() for p in algorithm.parameterDefinitions()},
        "outputs": {o.name(): o.type() for o in algorithm.outputDefinitions()},
    }


def main(folder: str, jobs: Path) -> None:
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], True)
    application.initQgis()
    sys.path[:0] = [folder, str(Path(QgsApplication.pkgDataPath()) / "python" / "plugins")]
    from processing.core.Processing import Processing

    Processing.initialize()
    import geocamss_qgis

    plugin = geocamss_qgis.classFactory(None)
    plugin.initProcessing()
    registry = QgsApplication.processingRegistry()
    provider = registry.providerById("geocamss")
    mapping = registry.createAlgorithmById("geocamss:map")
    found = {
        "algorithms": {a.id(): describe(a) for a in provider.algorithms()},
        "endings": provider.supportedOutputVectorLayerExtensions(),
        "models": mapping.parameterDefinition("MODEL").options(),
        "outputs": mapping.parameterDefinition("OUTPUTS").options(),
    }
    # What a launcher of QGIS sets: a Python that inherits this does not even start.
    os.environ.update(PYTHONHOME="/nonexistent", GDAL_DATA="/nonexistent", PROJ_LIB="/nonexistent")
    found["jobs"] = [run(job) for job in json.loads(jobs.read_text())]
    found["imported"] = "geocamss" in sys.modules
    plugin.unload()
    found["left"] = registry.providerById("geocamss") is not None
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # QGIS takes down Qt in an order that can crash at exit


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
