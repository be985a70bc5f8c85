"""How the map goes out: raster, polygons, styles, catalog. Knows no torch."""
