"""Climate: what a kind of place is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CLIMATES", "Climate"]

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Climate:
    """A kind of place; weights are relative, and name materials."""

    name: str
    """What it is called on the command line."""

    soils: Weights
    """Bare ground: fallow fields, vacant land, earth yards."""

    shores: Weights
    """The strip between water and land."""

    grasses: Weights
    """Meadows, verges and parks."""

    lawns: Weights
    """Watered grass in yards."""

    crops: Weights
    """Green fields."""

    crowns: Weights
    """Trees."""

    roofs: Weights
    """Houses."""

    sheds: Weights
    """Large flat buildings."""

    waters: Weights
    """Rivers, lakes and the sea."""

    yards: Weights
    """What a house stands on: lawn, earth or paved."""

    town: Weights
    """Uses of built quarters: names of fabrics."""

    wild: Weights
    """Uses of the others: woods, field, park, bare, scrub."""

    pitched: float
    """Share of houses with a pitched roof."""

    trees: float
    """Trees a house lot."""

    earthen: float
    """Chance that minor streets are of earth."""

    circus: float
    """Chance that a built quarter is laid out around a middle."""

    reeds: float
    """Chance that plants grow on the shores."""

    built: tuple[float, float]
    """Least and largest share of the land that is built on."""


CLIMATES: dict[str, Climate] = {
    climate.name: climate
    for climate in (
        Climate(
            name="desert",
            soils={"pale sand": 4, "sand": 3, "gravel": 2},
            shores={"pale sand": 3, "wet sand": 1, "gravel": 1},
            grasses={"grass": 1, "scrub": 2},
            lawns={"lawn": 2, "grass": 2},
            crops={"crop": 1, "young crop": 1},
            crowns={"scrub": 2, "broadleaf": 2},
            roofs={
                "white roof": 4,
                "cream roof": 4,
                "gravel roof": 2,
                "red tile": 1,
                "concrete": 1,
            },
            sheds={"white roof": 3, "metal": 2, "gravel roof": 2, "blue metal": 1, "concrete": 1},
            waters={"black water": 3, "green water": 3, "clear water": 2},
            yards={"lawn": 2, "earth": 5, "paved": 4},
            town={"villas": 6, "suburb": 2, "works": 2, "towers": 2, "huts": 1},
            wild={"bare": 6, "park": 3, "scrub": 2, "woods": 1},
            pitched=0.15,
            trees=0.9,
            earthen=0.15,
            circus=0.25,
            reeds=0.1,
            built=(0.35, 0.7),
        ),
        Climate(
            name="temperate",
            soils={"soil": 4, "dark soil": 2, "gravel": 1, "stubble": 2},
            shores={"gravel": 2, "soil": 1, "sand": 2, "wet sand": 1},
            grasses={"grass": 5, "lawn": 1},
            lawns={"lawn": 3, "grass": 3},
            crops={"crop": 3, "young crop": 2},
            crowns={"broadleaf": 4, "conifer": 2},
            roofs={"red tile": 5, "brown tile": 4, "slate": 3, "gravel roof": 1, "bitumen": 1},
            sheds={"metal": 3, "gravel roof": 3, "bitumen": 2, "white roof": 2, "blue metal": 1},
            waters={"black water": 2, "green water": 2, "turbid water": 2, "clear water": 2},
            yards={"lawn": 7, "earth": 1, "paved": 2},
            town={"suburb": 6, "terraces": 2, "villas": 1, "works": 2, "towers": 0.6},
            wild={"woods": 3, "field": 5, "park": 1, "bare": 1},
            pitched=0.8,
            trees=1.4,
            earthen=0.05,
            circus=0.04,
            reeds=0.6,
            built=(0.3, 0.6),
        ),
        Climate(
            name="dry",
            soils={"soil": 3, "sand": 2, "dry grass": 2, "stubble": 2, "gravel": 2},
            shores={"sand": 2, "gravel": 2, "wet sand": 1},
            grasses={"grass": 2, "scrub": 2},
            lawns={"lawn": 1, "grass": 2},
            crops={"crop": 1, "young crop": 3},
            crowns={"broadleaf": 2, "scrub": 3, "conifer": 1},
            roofs={"red tile": 6, "brown tile": 2, "white roof": 3, "cream roof": 2, "metal": 1},
            sheds={"metal": 3, "white roof": 3, "gravel roof": 2, "rusty metal": 1},
            waters={"clear water": 3, "green water": 2, "turbid water": 1},
            yards={"lawn": 2, "earth": 5, "paved": 3},
            town={"suburb": 3, "villas": 3, "terraces": 2, "works": 2, "towers": 1, "huts": 1},
            wild={"field": 4, "scrub": 3, "bare": 3, "woods": 2, "park": 1},
            pitched=0.55,
            trees=1.0,
            earthen=0.25,
            circus=0.1,
            reeds=0.3,
            built=(0.3, 0.65),
        ),
        Climate(
            name="tropical",
            soils={"red soil": 4, "soil": 3, "sand": 1},
            shores={"sand": 2, "soil": 2, "wet sand": 1},
            grasses={"grass": 4, "lawn": 2},
            lawns={"lawn": 3, "grass": 3},
            crops={"crop": 3, "young crop": 2, "lawn": 1},
            crowns={"broadleaf": 5, "scrub": 1},
            roofs={
                "metal": 5,
                "rusty metal": 4,
                "red tile": 3,
                "blue metal": 2,
                "green metal": 1,
                "white roof": 1,
                "concrete": 2,
            },
            sheds={"metal": 4, "blue metal": 2, "rusty metal": 2, "white roof": 1},
            waters={"turbid water": 4, "green water": 2, "black water": 1},
            yards={"lawn": 4, "earth": 5, "paved": 1},
            town={"suburb": 5, "huts": 3, "villas": 2, "works": 1.5, "towers": 0.5},
            wild={"woods": 4, "field": 4, "bare": 1, "park": 1, "scrub": 1},
            pitched=0.75,
            trees=2.0,
            earthen=0.5,
            circus=0.03,
            reeds=0.5,
            built=(0.3, 0.65),
        ),
    )
}
"""The climates, by name."""
