"""Draws a project as QGIS shows it, legend and map: ``python3 qgis_picture.py PROJECT PICTURE``.

Runs in the Python that QGIS came with; ``pictures.py`` calls it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import (
    QgsApplication,
    QgsLayerTreeLayer,
    QgsLayoutExporter,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsMapLayerLegendUtils,
    QgsPrintLayout,
    QgsProject,
)

LEGEND = 62.0
"""Width of the legend, in millimeters."""

MAP = 140.0
"""Width of the map, in millimeters."""

MARGIN = 3.0
"""Around it, in millimeters."""

DOTS = 125
"""Pixels in an inch."""


def shown(project: QgsProject) -> list[QgsLayerTreeLayer]:
    """Nodes of the layers that are drawn when the project opens, from the uppermost."""
    return [node for node in project.layerTreeRoot().findLayers() if node.isVisible()]


def add_map(layout: QgsPrintLayout, project: QgsProject) -> None:
    """What the window of QGIS shows, on a page of its shape."""
    extent = project.viewSettings().defaultViewExtent()
    height = MAP * extent.height() / extent.width()
    page = layout.pageCollection().page(0)
    page.setPageSize(QgsLayoutSize(LEGEND + MAP + MARGIN, height + 2 * MARGIN))
    item = QgsLayoutItemMap(layout)
    item.setRect(0, 0, MAP, height)  # without a size from the start it stays empty
    layout.addLayoutItem(item)
    item.attemptMove(QgsLayoutPoint(LEGEND, MARGIN))
    item.setCrs(project.crs())
    item.setLayers([node.layer() for node in shown(project)])
    item.zoomToExtent(extent)


def add_legend(layout: QgsPrintLayout, project: QgsProject) -> None:
    """What the panel of layers shows: layers that are drawn, folded as the project says."""
    item = QgsLayoutItemLegend(layout)
    layout.addLayoutItem(item)
    item.attemptMove(QgsLayoutPoint(0, 0))
    item.setAutoUpdateModel(False)
    names = [node.layerId() for node in shown(project)]
    root = item.model().rootGroup()
    for node in root.findLayers():
        if node.layerId() not in names:
            root.removeChildNode(node)
        elif not node.isExpanded():
            QgsMapLayerLegendUtils.setLegendNodeOrder(node, [])
            item.model().refreshLayerLegend(node)


def main(source: Path, target: Path) -> None:
    """Read the project, lay it out, and draw it."""
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], False)
    application.initQgis()
    project = QgsProject.instance()
    if not project.read(str(source)):
        sys.exit(f"{source}: {project.error()}")
    layout = QgsPrintLayout(project)
    layout.initializeDefaults()
    add_map(layout, project)
    add_legend(layout, project)
    image = QgsLayoutExporter(layout).renderPageToImage(0, dpi=DOTS)
    done = image.save(str(target))
    sys.stdout.write(json.dumps({"width": image.width(), "height": image.height()}) + "\n")
    sys.stdout.flush()
    # QGIS takes down Qt in an order that can crash at exit.
    os._exit(0 if done else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
