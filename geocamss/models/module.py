"""Any torch module behind the ``Segmenter`` protocol."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models.fingerprint import fingerprint
from geocamss.models.normalize import blank, surely_all
from geocamss.models.segmenter import Sampling, Segmenter

__all__ = ["from_module"]


def from_module(module: torch.nn.Module, card: ModelCard) -> Segmenter:
    """Make a segmenter of a network of one's own.

    Args:
        module: Maps (B, C, H, W) float32 chips to (B, K, H, W) logits. It is put into eval mode.
        card: Bands, classes, chip size and all else that ``predict`` needs to know.

    Raises:
        ModelError: ``module`` is not a torch module, or ``card`` not a card.
    """
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"from_module() takes a torch.nn.Module, got {type(module).__name__}")
    if not isinstance(card, ModelCard):
        raise ModelError(f"from_module() takes a ModelCard, got {type(card).__name__}")
    return _ModuleSegmenter(module, card)


class _ModuleSegmenter:
    """A discriminative network; the sampling changes nothing."""

    def __init__(
        self, module: torch.nn.Module, card: ModelCard, known_as: str | None = None
    ) -> None:
        self._module = module.eval()
        self._card = card
        parameter = next(iter(module.parameters()), None)
        self._device = torch.device("cpu") if parameter is None else parameter.device
        self._dtype = parameter.dtype if parameter is not None else torch.float32
        self._fingerprint = known_as or fingerprint(card, module.state_dict())

    @property
    def card(self) -> ModelCard:
        return self._card

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def __call__(self, chips: Tensor, valid: Tensor, corners: Tensor, sampling: Sampling) -> Tensor:
        del corners, sampling
        if not surely_all(valid):
            chips = blank(chips.to(torch.float32, copy=True), valid)
        if not self._dtype.is_complex and self._dtype.is_floating_point:
            chips = chips.to(self._dtype)
        with torch.inference_mode():
            logits = self._module(chips)
            self._check(logits, chips)
            logits = logits.float()
            if self._card.temperature != 1.0:
                logits = logits / self._card.temperature
            return torch.softmax(logits, dim=1)

    def twin(self) -> Segmenter | None:
        """A copy of the module around the same weights: what it notes down is its own."""
        if any(_tells_others(part) for part in self._module.modules()):
            return None
        weights = {id(weight): weight for weight in self._module.parameters()}
        try:
            module = copy.deepcopy(self._module, weights)
        except Exception:  # noqa: BLE001 (a module can hold what cannot be copied in any way)
            return None
        return _ModuleSegmenter(module, self._card, self._fingerprint)

    def _check(self, logits: object, chips: Tensor) -> None:
        batch, _, height, width = chips.shape
        expected = (batch, len(self._card.classes), height, width)
        if not isinstance(logits, Tensor):
            raise ModelError(
                f"model {self._card.name!r} must give logits of shape {expected}, "
                f"got {type(logits).__name__}"
            )
        if tuple(logits.shape) != expected:
            raise ModelError(
                f"model {self._card.name!r} must give logits of shape {expected} "
                f"(batch, classes, height, width), got {tuple(logits.shape)}"
            )


def _tells_others(part: torch.nn.Module) -> bool:
    """Whether a module hands on what it sees, or is a compiled one: a copy may share the rest."""
    hooks = (part._forward_hooks, part._forward_pre_hooks)  # noqa: SLF001 (it has no other name)
    return any(hooks) or hasattr(part, "_orig_mod")
