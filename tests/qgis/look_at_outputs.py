"""Loads a folder of outputs in QGIS and prints what it shows, as JSON.

Runs in the Python that QGIS came with, which is not that of the tests:
``python3 qgis_check.py FOLDER [PICTURE.png]``; the picture is the class map as QGIS draws it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor


def look_at_raster(path: Path) -> dict:
    layer = QgsRasterLayer(str(path), path.stem)
    renderer = layer.renderer()
    found = {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "size": [layer.height(), layer.width()],
        "renderer": renderer.type(),
    }
    if renderer.type() == "paletted":
        found["classes"] = [[c.value, c.label, c.color.name()] for c in renderer.classes()]
    if renderer.type() == "singlebandpseudocolor":
        function = renderer.shader().rasterShaderFunction()
        items = function.colorRampItemList()
        found["classes"] = [[i.value, i.label, i.color.name()] for i in items]
    return found


def look_at_polygons(path: Path, layer_name: str) -> dict:
    layer = QgsVectorLayer(layer_name, path.stem, "ogr")
    renderer = layer.renderer()
    found = {
        "valid": layer.isValid(),
        "crs": layer.crs().authid(),
        "count": layer.featureCount(),
        "fields": [field.name() for field in layer.fields()],
        "renderer": renderer.type(),
    }
    if renderer.type() == "categorizedSymbol":
        found["classes"] = [
            [int(c.value()), c.label(), c.symbol().color().name()] for c in renderer.categories()
        ]
    return found


def look_at_attributes(path: Path) -> dict:
    source = gdal.Open(str(path))
    band = source.GetRasterBand(1)
    table = band.GetDefaultRAT()
    names = band.GetCategoryNames()
    if table is None:
        return {"names": names, "rows": []}
    columns = {table.GetNameOfCol(k): k for k in range(table.GetColumnCount())}
    rows = [
        [table.GetValueAsInt(k, columns["Value"]), table.GetValueAsString(k, columns["Class"])]
        for k in range(table.GetRowCount())
    ]
    return {"names": names, "rows": rows}


def draw(layers: list, target: Path) -> None:
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setBackgroundColor(QColor(255, 255, 255))
    settings.setDestinationCrs(layers[0].crs())
    settings.setOutputSize(QSize(layers[0].width(), layers[0].height()))
    settings.setExtent(layers[0].extent())
    settings.setFlag(QgsMapSettings.Antialiasing, False)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(target))


def main(folder: Path, picture: Path | None) -> None:
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    polygons = folder / "polygons.gpkg"
    found = {
        "classes.tif": look_at_raster(folder / "classes.tif"),
        "confidence.tif": look_at_raster(folder / "confidence.tif"),
        "polygons.gpkg": look_at_polygons(polygons, f"{polygons}|layername=polygons"),
        "dropped": look_at_polygons(polygons, str(polygons)),
        "attributes": look_at_attributes(folder / "classes.tif"),
    }
    if picture is not None:
        draw([QgsRasterLayer(str(folder / "classes.tif"), "classes")], picture)
        layer = QgsVectorLayer(f"{polygons}|layername=polygons", "polygons", "ogr")
        raster = QgsRasterLayer(str(folder / "classes.tif"), "classes")
        overlap = layer.extent().intersect(raster.extent()).area() / layer.extent().area()
        found["overlap"] = overlap
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # QGIS takes down Qt in an order that can crash at exit


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
