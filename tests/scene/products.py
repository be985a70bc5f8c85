"""Products as their providers lay them out, small: names, folders and metadata are theirs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from affine import Affine

from tests.scene.conftest import write

UTM = "EPSG:32632"
LEFT, TOP = 600_000, 5_100_000
GRANULE = "L2A_T32TPS_A038765_20240830T100558"
TILE = "T32TPS_20240830T100559"
S2_IDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
S2_SIZES = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}
PRODUCT = "LC09_L2SP_193028_20240822_20240823_02_T1"
PRODUCT_L1 = "LC09_L1TP_193028_20240822_20240823_02_T1"


def place(size: float, left: float = LEFT, top: float = TOP) -> dict:
    return {"crs": UTM, "transform": Affine(size, 0, left, 0, -size, top)}


def numbers(seed: int, side: int, high: int = 12_000) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, high, (1, side, side)).astype(np.uint16)


def jp2(path: Path, values: np.ndarray, size: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
    return write(path, values, **options, **place(size))


def s2_metadata(level: str, baseline: str, offset: int | None) -> str:
    kind = "BOA" if level == "2A" else "RADIO"
    quantity = "BOA_QUANTIFICATION_VALUE" if level == "2A" else "QUANTIFICATION_VALUE"
    offsets = "".join(
        f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>' for i in range(13)
    )
    listed = f"<{kind}_ADD_OFFSET_VALUES_LIST>{offsets}</{kind}_ADD_OFFSET_VALUES_LIST>"
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{name}"/>'
        for i, name in enumerate(S2_IDS)
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product
    xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>2024-08-30T10:05:59.024Z</PRODUCT_START_TIME>
      <PRODUCT_URI>S2B_MSIL{level}_20240830T100559_N0511_R022_{TILE[:6]}_X.SAFE</PRODUCT_URI>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Datatake><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
        <DATATAKE_SENSING_START>2024-08-30T10:05:59.024Z</DATATAKE_SENSING_START></Datatake>
    </Product_Info>
    <Product_Image_Characteristics>
      <QUANTIFICATION_VALUES_LIST><{quantity} unit="none">10000</{quantity}>
        <AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>
      </QUANTIFICATION_VALUES_LIST>
      {listed if offset is not None else ""}
      <Spectral_Information_List>{spectral}</Spectral_Information_List>
    </Product_Image_Characteristics>
  </n1:General_Info>
</n1:Level-{level}_User_Product>"""


def sentinel2(
    folder: Path, *, baseline: str = "05.11", offset: int | None = -1000, side: int = 120
) -> tuple[Path, dict[str, np.ndarray]]:
    """A level 2A product, and the numbers of its finest images by name."""
    root = folder / f"S2B_MSIL2A_20240830T100559_N0511_R022_{TILE[:6]}_X.SAFE"
    images = root / "GRANULE" / GRANULE / "IMG_DATA"
    stored = {}
    for seed, (band, size) in enumerate(S2_SIZES.items()):
        values = numbers(seed, side * 10 // size)
        values[:, :1, :2] = 0
        stored[band] = values[0]
        jp2(images / f"R{size}m" / f"{TILE}_{band}_{size}m.jp2", values, size)
        if size == 10:  # coarser copies lie beside
            jp2(images / "R20m" / f"{TILE}_{band}_20m.jp2", values[:, ::2, ::2], 20)
    scl = np.random.default_rng(99).integers(0, 12, (1, side // 2, side // 2)).astype(np.uint8)
    stored["SCL"] = scl[0]
    jp2(images / "R20m" / f"{TILE}_SCL_20m.jp2", scl, 20)
    jp2(images / "R10m" / f"{TILE}_TCI_10m.jp2", np.zeros((3, side, side), np.uint8), 10)
    (root / "MTD_MSIL2A.xml").write_text(s2_metadata("2A", baseline, offset))
    return root, stored


def sentinel2_l1c(folder: Path, side: int = 120) -> tuple[Path, dict[str, np.ndarray]]:
    """A level 1C product with its cloud mask."""
    root = folder / f"S2B_MSIL1C_20240830T100559_N0511_R022_{TILE[:6]}_X.SAFE"
    granule = root / "GRANULE" / GRANULE.replace("L2A", "L1C")
    stored = {}
    for seed, (band, size) in enumerate({**S2_SIZES, "B10": 60}.items()):
        values = numbers(seed, side * 10 // size)
        stored[band] = values[0]
        jp2(granule / "IMG_DATA" / f"{TILE}_{band}.jp2", values, size)
    clouds = (np.random.default_rng(98).random((3, side // 6, side // 6)) < 0.3).astype(np.uint8)
    stored["clouds"] = clouds
    jp2(granule / "QI_DATA" / "MSK_CLASSI_B00.jp2", clouds, 60)
    (root / "MTD_MSIL1C.xml").write_text(s2_metadata("1C", "05.11", -1000))
    return root, stored


def packed(root: Path) -> Path:
    """A product's folder as the archive in which it is delivered."""
    target = root.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, path.relative_to(root.parent).as_posix())
    return target


def landsat_metadata(product: str, sun: float = 50.0) -> dict:
    ours = {f"REFLECTANCE_MULT_BAND_{b}": "2.75e-05" for b in range(1, 8)}
    ours |= {f"REFLECTANCE_ADD_BAND_{b}": "-0.2" for b in range(1, 8)}
    raw = {f"REFLECTANCE_MULT_BAND_{b}": "2.0000E-05" for b in range(1, 10)}
    raw |= {f"REFLECTANCE_ADD_BAND_{b}": "-0.100000" for b in range(1, 10)}
    return {
        "LANDSAT_METADATA_FILE": {
            "PRODUCT_CONTENTS": {
                "LANDSAT_PRODUCT_ID": product,
                "PROCESSING_LEVEL": product[5:9],
                "FILE_NAME_BAND_4": f"{product}_SR_B4.TIF",
            },
            "IMAGE_ATTRIBUTES": {
                "SPACECRAFT_ID": "LANDSAT_9",
                "DATE_ACQUIRED": "2024-08-22",
                "SCENE_CENTER_TIME": "10:04:22.1183580Z",
                "SUN_ELEVATION": str(sun),
            },
            **(
                {
                    "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": ours,
                    "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS": {
                        "TEMPERATURE_MULT_BAND_ST_B10": "0.00341802",
                        "TEMPERATURE_ADD_BAND_ST_B10": "149.0",
                    },
                }
                if product[6] == "2"
                else {}
            ),
            "LEVEL1_RADIOMETRIC_RESCALING": raw,
        }
    }


def landsat(
    folder: Path, product: str = PRODUCT, metadata: str = "json", side: int = 90
) -> tuple[Path, dict[str, np.ndarray]]:
    """A product of Collection 2 of either level, and its numbers by band."""
    root = folder / product
    root.mkdir(parents=True)
    names = [f"SR_B{b}" for b in range(1, 8)] + ["ST_B10"]
    if product[6] == "1":
        names = [f"B{b}" for b in range(1, 12)]
    stored = {}
    for seed, name in enumerate(names):
        fine = name == "B8"
        values = numbers(seed, side * 2 - 1 if fine else side, 65_000)
        values[:, :3, :3] = 0
        stored[name] = values[0]
        # The centers of the first pixels agree, and so their corners do not.
        where = place(15, LEFT + 7.5, TOP - 7.5) if fine else place(30)
        write(root / f"{product}_{name}.TIF", values, nodata=0, **where)
    quality = np.random.default_rng(7).integers(0, 2**16, (1, side, side)).astype(np.uint16)
    quality[:, side // 2 :] &= 0xFFE0
    stored["QA_PIXEL"] = quality[0]
    write(root / f"{product}_QA_PIXEL.TIF", quality, nodata=1, **place(30))
    write(root / f"{product}_QA_RADSAT.TIF", quality, **place(30))
    told = landsat_metadata(product)
    if metadata == "json":
        (root / f"{product}_MTL.json").write_text(json.dumps(told))
    elif metadata == "txt":
        lines = ["GROUP = LANDSAT_METADATA_FILE"]
        for group, entries in told["LANDSAT_METADATA_FILE"].items():
            lines += [f"  GROUP = {group}", *(f'    {k} = "{v}"' for k, v in entries.items())]
            lines += [f"  END_GROUP = {group}"]
        text = "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])
        (root / f"{product}_MTL.txt").write_text(text)
    elif metadata == "xml":
        groups = "".join(
            f"<{group}>{''.join(f'<{k}>{v}</{k}>' for k, v in entries.items())}</{group}>"
            for group, entries in told["LANDSAT_METADATA_FILE"].items()
        )
        text = f"<?xml version='1.0'?><LANDSAT_METADATA_FILE>{groups}</LANDSAT_METADATA_FILE>"
        (root / f"{product}_MTL.xml").write_text(text)
    return root, stored
