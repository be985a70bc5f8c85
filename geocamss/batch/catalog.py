"""One static STAC catalog over all maps of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pystac import Catalog, Link, MediaType

from geocamss.batch.scenes import SceneResult
from geocamss.whole import whole

__all__ = ["write_catalog"]

FILE = "catalog.json"


def write_catalog(folder: Path, scenes: Iterable[SceneResult]) -> Path | None:
    """Write a catalog that leads to the items of all maps; it appears when it is whole.

    Args:
        folder: the job's output folder; the items lie in folders in it.
        scenes: what became of the scenes.

    Returns:
        The catalog; None when there is no item, and then an older one is taken away.
    """
    target = folder / FILE
    catalog = Catalog(
        "geocamss-maps", "Maps made by geocamss, an item for each scene.", title="Maps by geocamss"
    )
    for scene in scenes:
        item = scene.folder / "item.json"
        if scene.mapped and item.exists():
            href = f"./{item.relative_to(folder).as_posix()}"
            catalog.add_link(Link("item", href, MediaType.GEOJSON, scene.id))
    if not catalog.get_item_links():
        target.unlink(missing_ok=True)
        return None
    content = catalog.to_dict(include_self_link=False, transform_hrefs=False)
    # Nobody asked where the catalog begins, and a link to itself by name needs no change when the
    # folder moves.
    content["links"] = [
        link | {"href": f"./{FILE}"} if link["rel"] == "root" else link for link in content["links"]
    ]
    with whole(target) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return target
