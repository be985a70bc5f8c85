"""Warm start: a network begins with another's weights, though bands or classes may differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from geocamss.errors import RecipeError
from geocamss.scene.bands import spoken_name

__all__ = ["adapt_stem", "warm_start"]

STEM = "stem.1.conv.weight"
"""The only weights of an image encoder whose shape depends on the bands."""

FOLDS = (1, 4)
"""Input channels of the stem for each band: pixels by themselves, or two by two of them folded."""


def adapt_stem(weight: Tensor, theirs: Sequence[str], ours: Sequence[str]) -> Tensor:
    """First-layer weights for other bands.

    A band of the same name keeps its weights, any other takes the mean over all of theirs; the
    whole is scaled by their number over ours, so that the sum over the bands stays as large
    (after the inflation of Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017).
    Channel-shuffled weights are nearly alike for all bands, so that little is lost.

    Args:
        weight: (out, (bands + 1) * fold, 3, 3); the last band is validity, and ``fold`` is one of
            ``FOLDS``.
        theirs: Names of the bands it was trained on.
        ours: Names of the wanted ones.

    Returns:
        (out, (len(ours) + 1) * fold, 3, 3).
    """
    out, channels, *kernel = weight.shape
    fold, rest = divmod(channels, len(theirs) + 1)
    if rest or fold not in FOLDS:
        raise ValueError(f"weights of {channels} channels cannot be of {len(theirs)} bands")
    bands = weight.view(out, len(theirs) + 1, fold, *kernel)
    mean = bands[:, :-1].mean(1)
    places = _places(theirs, ours)
    chosen = [mean if place is None else bands[:, place] for place in places]
    scale = len(theirs) / len(ours)
    whole = torch.stack([*(w * scale for w in chosen), bands[:, -1]], dim=1)
    return whole.view(out, -1, *kernel)


def warm_start(
    network: nn.Module,
    state: Mapping[str, Tensor],
    bands: tuple[Sequence[str], Sequence[str]],
    where: Path,
) -> tuple[str, ...]:
    """Copy weights into a network as far as they fit.

    Args:
        network: What begins with them; changed in place.
        state: The other's weights by name.
        bands: Names of the other's bands, then of ours.
        where: The other's file, for the message.

    Returns:
        Names of the weights that stay as they were: those whose shape depends on the classes, and
        those of parts that the other has not.

    Raises:
        RecipeError: the other has none of the weights, or another size.
    """
    ours = network.state_dict()
    taken: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name not in ours:
            continue
        other = name.endswith(STEM) and _differ(*bands)
        taken[name] = adapt_stem(tensor.float(), *bands) if other else tensor.float()
    fitting = {name: value for name, value in taken.items() if value.shape == ours[name].shape}
    encoder = [name for name in ours if name.startswith("encoder.") and not _is_counter(name)]
    wrong = [name for name in encoder if name not in fitting]
    if wrong:
        raise RecipeError(
            f"{where}: cannot start from it: its {wrong[0]} does not have the size that the "
            "recipe's model asks for; give both the same sizes under model"
        )
    network.load_state_dict(fitting, strict=False)
    return tuple(name for name in ours if name not in fitting and not _is_counter(name))


def _differ(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether the first layer cannot be taken as it is.

    Of as many bands of which none is the same, each channel may as well keep its own weights.
    """
    places = _places(theirs, ours)
    same = places == list(range(len(theirs)))
    return len(theirs) != len(ours) or not (same or all(place is None for place in places))


def _places(theirs: Sequence[str], ours: Sequence[str]) -> list[int | None]:
    """Where each of our bands stands among theirs, however it is written; None is nowhere."""
    names = [spoken_name(name) for name in theirs]
    places: list[int | None] = []
    for name in ours:
        if name in theirs:
            places.append(theirs.index(name))
        else:
            once = names.count(spoken_name(name)) == 1
            places.append(names.index(spoken_name(name)) if once else None)
    return places


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")
