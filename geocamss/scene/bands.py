"""Bands by name: common names, their wavelengths, and what files call them.

A band is named by the strongest evidence that its file holds: a description that says it, a
wavelength, a code of a sensor that is known, at last the color interpretation. What stays
ambiguous stays without a name: a wrong band makes a wrong map that looks right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "COMMON_BANDS",
    "SENSORS",
    "BandClues",
    "BandIdentity",
    "CommonBand",
    "Sensor",
    "canonical_name",
    "find_sensor",
    "identify_bands",
    "meanings_of",
    "name_of_wavelength",
    "spectral_distance",
    "spoken_name",
]


@dataclass(frozen=True)
class CommonBand:
    """A band that many sensors have."""

    name: str
    """The name that model cards and overrides use."""

    shortest: float
    """Lower end of the range that a center wavelength may have, in micrometers."""

    longest: float
    """Upper end, likewise; not included."""

    center: float
    """Typical center, in micrometers."""

    aliases: tuple[str, ...] = ()
    """Other spellings: lower case, letters and digits only."""

    by_wavelength: bool = True
    """False for bands that overlap others, so that a wavelength alone does not tell them."""

    def __contains__(self, wavelength: object) -> bool:
        return isinstance(wavelength, float) and self.shortest <= wavelength < self.longest


COMMON_BANDS: Mapping[str, CommonBand] = {
    band.name: band
    for band in (
        CommonBand(
            "coastal",
            0.400,
            0.455,
            0.443,
            ("coastalaerosol", "coastalblue", "aerosol", "aerosols", "ultrablue", "deepblue"),
        ),
        CommonBand("blue", 0.455, 0.515, 0.485, ("b",)),
        CommonBand("green", 0.515, 0.585, 0.560, ("g",)),
        CommonBand("yellow", 0.585, 0.620, 0.605),
        CommonBand("red", 0.620, 0.690, 0.660, ("r",)),
        CommonBand("rededge1", 0.690, 0.730, 0.705, ("rededge", "re", "re1", "rededge071", "vre1")),
        CommonBand("rededge2", 0.730, 0.760, 0.740, ("re2", "rededge075", "vre2")),
        CommonBand("rededge3", 0.760, 0.800, 0.783, ("re3", "rededge078", "vre3")),
        CommonBand(
            "nir",
            0.760,
            0.900,
            0.850,
            ("n", "ir", "nir1", "nearinfrared", "nearir", "infrared", "nearinfrared1"),
        ),
        CommonBand(
            "nir08",
            0.850,
            0.880,
            0.865,
            ("nirnarrow", "narrownir", "nearinfrarednarrow", "narrownearinfrared", "nir8a"),
            by_wavelength=False,
        ),
        CommonBand(
            "water_vapor", 0.900, 0.970, 0.945, ("watervapor", "watervapour", "nir09", "wv")
        ),
        CommonBand("cirrus", 1.350, 1.400, 1.375, ("swircirrus",)),
        CommonBand(
            "swir1",
            1.550,
            1.750,
            1.610,
            ("swir16", "shortwaveinfrared1", "shortwaveir1", "swirone"),
        ),
        CommonBand(
            "swir2",
            2.050,
            2.400,
            2.200,
            ("swir22", "shortwaveinfrared2", "shortwaveir2", "swirtwo"),
        ),
        CommonBand(
            "thermal1",
            10.300,
            11.500,
            10.900,
            ("thermal", "tir", "tir1", "tirs1", "lwir", "lwir11", "thermalinfrared"),
        ),
        CommonBand("thermal2", 11.500, 12.600, 12.000, ("tir2", "tirs2", "lwir12")),
        CommonBand("pan", 0.480, 0.700, 0.590, ("panchromatic",), by_wavelength=False),
    )
}
"""All common bands, by name, from short to long waves."""

_NAMES: Mapping[str, str] = {
    spelling: band.name
    for band in COMMON_BANDS.values()
    for spelling in (re.sub(r"[^a-z0-9]", "", band.name), *band.aliases)
}

_FILLERS = frozenset(
    (
        *("band", "bands", "channel", "ch", "layer", "surface", "reflectance", "sr", "toa", "boa"),
        *("top", "bottom", "of", "atmosphere", "vegetation", "wavelength", "center", "centre"),
        *("nm", "um", "nanometers", "micrometers", "level"),
    )
)
"""Words of a description that say nothing against the name beside them."""

_CODE = re.compile(r"(?:sr_|st_|toa_|boa_)?b(?:and)?[ _-]?(\d{1,2}a?)(?:[_ ]\d+m)?", re.IGNORECASE)
_IN_WORDS = re.compile(r"\s*band", re.IGNORECASE)
"""Starts what writers such as GDAL's for ENVI call bands that have no names: ``Band 1``."""

_COUNTING = "(?:band|bnd|b|layer|lyr|channel|chan|ch|raster)?"
_WAVELENGTH = re.compile(
    r"(\d+(?:\.\d+)?)\s*(nm|nanometers?|um|µm|μm|micrometers?)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Sensor:
    """A family of instruments whose bands go by the same codes."""

    name: str
    """What messages call it."""

    pattern: re.Pattern[str]
    """Finds it in file names and metadata."""

    bands: Mapping[str, tuple[str, float]]
    """Common name and center wavelength in micrometers, by code: ``4``, ``8A``."""


_SCANNER = (("green", 0.55), ("red", 0.65), ("nir", 0.76), ("nir", 0.89))
"""Bands of the Multispectral Scanner; where the last two, which are broad, have most of their
light."""

SENSORS: tuple[Sensor, ...] = (
    Sensor(
        "Sentinel-2",
        re.compile(
            r"(?<![a-z0-9])(s2[abcd]?|sentinel[-_ ]?2[abcd]?|sen2|msil1c|msil2a|s30"
            r"|t\d{2}[a-z]{3}_\d{8}t\d{6})(?![a-z0-9])",
            re.IGNORECASE,
        ),
        {
            "1": ("coastal", 0.443),
            "2": ("blue", 0.492),
            "3": ("green", 0.560),
            "4": ("red", 0.665),
            "5": ("rededge1", 0.704),
            "6": ("rededge2", 0.740),
            "7": ("rededge3", 0.783),
            "8": ("nir", 0.833),
            "8A": ("nir08", 0.865),
            "9": ("water_vapor", 0.945),
            "10": ("cirrus", 1.375),
            "11": ("swir1", 1.612),
            "12": ("swir2", 2.194),
        },
    ),
    Sensor(
        "Landsat 8 or 9",
        re.compile(
            r"(?<![a-z0-9])(l[cot]0[89]|landsat[-_ ]?0?[89]|l30|oli|oli_tirs)(?![a-z0-9])",
            re.IGNORECASE,
        ),
        {
            "1": ("coastal", 0.443),
            "2": ("blue", 0.482),
            "3": ("green", 0.561),
            "4": ("red", 0.655),
            "5": ("nir", 0.865),
            "6": ("swir1", 1.609),
            "7": ("swir2", 2.201),
            "8": ("pan", 0.590),
            "9": ("cirrus", 1.373),
            "10": ("thermal1", 10.895),
            "11": ("thermal2", 12.005),
        },
    ),
    Sensor(
        "Landsat 4, 5 or 7",
        re.compile(
            r"(?<![a-z0-9])(l[et]0[457]|landsat[-_ ]?0?[457](?!.*mss)|etm\+?|tm)(?![a-z0-9])",
            re.IGNORECASE,
        ),
        {
            "1": ("blue", 0.485),
            "2": ("green", 0.560),
            "3": ("red", 0.660),
            "4": ("nir", 0.835),
            "5": ("swir1", 1.650),
            "6": ("thermal1", 11.450),
            "7": ("swir2", 2.220),
            "8": ("pan", 0.710),
        },
    ),
    Sensor(
        "Landsat 4 or 5 MSS",
        re.compile(
            r"(?<![a-z0-9])(lm0[45]|landsat[-_ ]?0?[45](?=.*mss))(?![a-z0-9])", re.IGNORECASE
        ),
        dict(zip("1234", _SCANNER, strict=True)),
    ),
    Sensor(
        "Landsat 1, 2 or 3 MSS",
        re.compile(
            r"(?<![a-z0-9])(lm0[123]|landsat[-_ ]?0?[123](?=.*mss))(?![a-z0-9])", re.IGNORECASE
        ),
        dict(zip("4567", _SCANNER, strict=True)),
    ),
)
"""Sensors whose band codes are read. B4 is red on two of them, near infrared on two, and green."""

_COLORS: Mapping[str, str] = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "coastal": "coastal",
    "rededge": "rededge1",
    "nir": "nir",
    "pan": "pan",
}
"""Common names by color interpretation, where that leaves no doubt."""


@dataclass(frozen=True)
class BandClues:
    """What a file says of one band."""

    index: int
    """Position in the file, from 1."""

    description: str = ""
    """Its description; empty where the file gives none."""

    color: str = "undefined"
    """Its color interpretation, by GDAL's name in lower case."""

    wavelength: float | None = None
    """Its center, in micrometers, from metadata."""

    dtype: str = "uint8"
    """Its data type."""

    @property
    def counts(self) -> bool:
        """True for no description, or one that merely counts, such as ``Band 1`` or ``lyr.1``."""
        text = self.description.strip().lower()
        return not text or re.fullmatch(rf"{_COUNTING}[ _.:-]*0*{self.index}", text) is not None


@dataclass(frozen=True)
class BandIdentity:
    """What a band was taken for."""

    name: str | None
    """Common name, or None if nothing tells."""

    wavelength: float | None
    """Center in micrometers: the file's, else the sensor's."""

    assumed: bool = False
    """True if only custom says so: worth a warning when the band is used."""


def canonical_name(text: str) -> str | None:
    """The common name that a text spells, or None: ``"NIR "`` and ``"near-infrared"`` are ``nir``.

    Codes such as ``B04`` are left to ``identify_bands``: they depend on the sensor.
    """
    whole = re.sub(r"[^a-z0-9]", "", text.lower())
    if whole in _NAMES:
        return _NAMES[whole]
    words = re.findall(r"[a-z]+|\d+", _WAVELENGTH.sub(" ", text.lower()))
    found, rest = _names_among(words)
    harmless = all(w in _FILLERS or w.isdigit() or w in ("b", "a") for w in rest)
    return found.pop() if len(found) == 1 and harmless else None


def spoken_name(text: str) -> str:
    """The common name that a text spells, else the text itself, in lower case: to compare by."""
    return canonical_name(text) or text.lower()


def _names_among(words: Sequence[str]) -> tuple[set[str], list[str]]:
    """Names spelled by runs of one to four words, longest first, and the words left over."""
    found: set[str] = set()
    rest: list[str] = []
    start = 0
    while start < len(words):
        for length in (4, 3, 2, 1):
            run = "".join(words[start : start + length])
            if start + length <= len(words) and len(run) > 2 and run in _NAMES:
                found.add(_NAMES[run])
                start += length
                break
        else:
            rest.append(words[start])
            start += 1
    return found, rest


def name_of_wavelength(wavelength: float) -> str | None:
    """The common band that a center wavelength in micrometers falls into, or None."""
    for band in COMMON_BANDS.values():
        if band.by_wavelength and wavelength in band:
            return band.name
    return None


def spectral_distance(wavelength: float, wanted: float) -> float:
    """How far two wavelengths are apart, as a fraction of the wanted one."""
    return abs(wavelength - wanted) / wanted


def find_sensor(texts: Iterable[str]) -> Sensor | None:
    """The one sensor that file names or metadata speak of; None if none or several do."""
    joined = " | ".join(texts)
    found = [sensor for sensor in SENSORS if sensor.pattern.search(joined)]
    return found[0] if len(found) == 1 else None


def meanings_of(code: str) -> dict[str, str]:
    """What a code such as ``B4`` means, by sensor; empty if it is no code."""
    key = _code_of(code)
    return {s.name: s.bands[key][0] for s in SENSORS if key in s.bands} if key else {}


def identify_bands(
    clues: Sequence[BandClues], sensor: Sensor | None = None
) -> tuple[BandIdentity, ...]:
    """Name the image bands of a file.

    Stronger evidence wins over weaker; a name that stronger evidence gives to one band is not
    given to another by weaker evidence. Where several bands of a spectrometer fall into one
    common band, the one nearest to its center has the name.

    Args:
        clues: one for each image band; alpha bands left out.
        sensor: where the file name or its metadata tell it.
    """
    codes = _identify_codes(clues, sensor)
    silent = all(clue.counts for clue in clues)
    ranked: list[tuple[int, str | None, float | None]] = []
    for clue in clues:
        wavelength = clue.wavelength or _wavelength_in(clue.description)
        spoken = canonical_name(clue.description) if clue.description else None
        name, typical = codes.get(clue.index, (None, None))
        if spoken is not None:
            ranked.append((3, spoken, wavelength))
        elif name is not None:
            ranked.append((2, name, wavelength or typical))
        elif wavelength is not None:
            ranked.append((1, name_of_wavelength(wavelength), wavelength))
        elif silent or not clue.description:
            ranked.append((0, _COLORS.get(clue.color), None))
        else:
            ranked.append((0, None, None))
    names = _without_rivals(ranked)
    identities = tuple(
        BandIdentity(name, entry[2]) for name, entry in zip(names, ranked, strict=True)
    )
    return _assume(clues, identities)


def _code_of(text: str) -> str | None:
    match = _CODE.fullmatch(text.strip())
    return match[1].upper().lstrip("0") or None if match else None


def _wavelength_in(text: str) -> float | None:
    match = _WAVELENGTH.search(text)
    if not match:
        return None
    value = float(match[1])
    return value / 1000 if match[2].lower().startswith("n") else value


def _identify_codes(
    clues: Sequence[BandClues], sensor: Sensor | None
) -> dict[int, tuple[str, float]]:
    """Name and wavelength of bands whose descriptions are codes, where all readings agree."""
    codes = {c.index: code for c in clues if (code := _code_of(c.description))}
    if not codes or all(c.counts and _IN_WORDS.match(c.description) for c in clues):
        return {}
    if sensor is None and all(code == str(index) for index, code in codes.items()):
        return {}  # B1, B2, B3 in this order may be mere counting
    possible = [sensor] if sensor is not None else _possible_sensors(clues, set(codes.values()))
    fitting = [s for s in possible if set(codes.values()) <= set(s.bands)]
    named: dict[int, tuple[str, float]] = {}
    for index, code in codes.items():
        readings = {s.bands[code][0] for s in fitting}
        if len(readings) == 1:
            named[index] = fitting[0].bands[code]
    return named


def _possible_sensors(clues: Sequence[BandClues], codes: set[str]) -> list[Sensor]:
    """The sensors that may have given bands these codes, by how they are written and combined."""
    sentinel2, landsat8, landsat7, *_ = SENSORS  # older ones are rare, and their names tell
    labels = [clue.description.lower() for clue in clues]
    possible = [sentinel2, landsat8, landsat7]
    if any(label.startswith(("sr_", "st_")) for label in labels):
        possible = [landsat8, landsat7]
    elif any(re.search(r"b0\d", label) for label in labels):
        possible = [sentinel2, landsat8]  # Landsat 8 pads its codes in harmonized products
    if "8" in codes and len(codes) > 1:
        # Landsat's panchromatic band has smaller pixels than the others: it comes alone
        possible = [s for s in possible if s.bands["8"][0] != "pan"]
    return possible


def _without_rivals(
    ranked: Sequence[tuple[int, str | None, float | None]],
) -> list[str | None]:
    """Keep each name where its evidence is strongest, and there nearest to the name's center."""
    names = [name for _, name, _ in ranked]
    for name in {n for n in names if n is not None}:
        rivals = [i for i, n in enumerate(names) if n == name]
        best = max(ranked[i][0] for i in rivals)
        keep = [i for i in rivals if ranked[i][0] == best]
        lengths = {i: w for i in keep if (w := ranked[i][2]) is not None}
        if name in COMMON_BANDS and len(lengths) == len(keep):
            center = COMMON_BANDS[name].center
            keep = [min(keep, key=lambda i: spectral_distance(lengths[i], center))]
        for i in rivals:
            if i not in keep:
                names[i] = None
    return names


def _assume(
    clues: Sequence[BandClues], identities: tuple[BandIdentity, ...]
) -> tuple[BandIdentity, ...]:
    """Give 8-bit pictures of three or four bands that say nothing the names custom gives them."""
    silent = all(c.counts and c.wavelength is None for c in clues)
    if not silent or len(clues) not in (3, 4) or {c.dtype for c in clues} != {"uint8"}:
        return identities
    colors = [c.color for c in clues]
    known = colors[:3] == ["red", "green", "blue"]
    if not known and not set(colors) <= {"gray", "grey", "undefined"}:
        return identities
    custom = ("red", "green", "blue", "nir")[: len(clues)]
    return tuple(
        identity if identity.name else BandIdentity(name, None, assumed=True)
        for name, identity in zip(custom, identities, strict=True)
    )
