"""Opens a project in QGIS and prints what it shows, as JSON.

``python3 look_at_project.py PROJECT FOLDER``: into FOLDER go pictures of the whole project, of its
class map alone, and of the scene alone, a pixel of the map each.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsMapLayer,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def look_at(node) -> dict:
    layer = node.layer()
    extent = layer.extent()
    found = {
        "name": node.name(),
        "shown": node.isVisible(),
        "valid": layer.isValid(),
        "source": layer.source(),
        "crs": layer.crs().authid(),
        "wkt": layer.crs().toWkt(),
        "renderer": layer.renderer().type(),
        "legend": [item.label() for item in layer.legendRenderer()]
        if hasattr(layer, "legendRenderer")
        else [],
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
    }
    if found["renderer"] == "paletted":
        found["classes"] = [[c.value, c.label, c.color.name()] for c in layer.renderer().classes()]
    elif found["renderer"] == "categorizedSymbol":
        found["classes"] = [
            [int(c.value()), c.label(), c.symbol().color().name()]
            for c in layer.renderer().categories()
        ]
    return found


def draw(layers: list, project, like, target: Path) -> None:
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setBackgroundColor(QColor(255, 255, 255))
    settings.setDestinationCrs(project.crs())
    settings.setOutputSize(QSize(like.width(), like.height()))
    settings.setExtent(project.viewSettings().defaultViewExtent())
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(target))


def main(path: Path, folder: Path) -> None:
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    read = project.read(str(path))
    nodes = project.layerTreeRoot().findLayers()
    layers = {node.name(): node.layer() for node in nodes}
    extent = project.viewSettings().defaultViewExtent()
    found = {
        "read": read,
        "error": project.error(),
        "title": project.title(),
        "crs": project.crs().authid(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
        "relative": project.readBoolEntry("Paths", "/Absolute", True)[0] is False,
        "layers": [look_at(node) for node in nodes],
        "order": [layer.name() for layer in project.layerTreeRoot().layerOrder()],
        "unavailable": [
            layer.name()
            for layer in project.mapLayers().values()
            if not layer.isValid() or layer.type() == QgsMapLayer.PluginLayer
        ],
    }
    if "classes" in layers and layers["classes"].isValid():
        like = layers["classes"]
        shown = [node.layer() for node in nodes if node.isVisible()]
        draw(shown, project, like, folder / "project.png")
        draw([like], project, like, folder / "classes.png")
        draw([layers["scene"]], project, like, folder / "scene.png")
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # QGIS takes down Qt in an order that can crash at exit


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
