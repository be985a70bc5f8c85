"""The training loop, as a Lightning module."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from geocamss import __version__
from geocamss.errors import GeocamssWarning, InterruptError
from geocamss.evaluation.scores import Scores
from geocamss.modelcard import ModelCard
from geocamss.models.segmenter import Segmenter
from geocamss.training.batches import Batch, step_generator
from geocamss.training.evaluation import score_images
from geocamss.training.objective import Objective
from geocamss.training.recipe import Training, learning_rate, progress
from geocamss.training.sources import LabeledImage
from geocamss.training.state import check_same

__all__ = ["Loop"]

_log = logging.getLogger(__name__)

LOG_EVERY = 20
"""Steps from one line of the log to the next."""

SAVE_EVERY = 60.0
"""Seconds after which the state is written anew, within an epoch as well."""

SAVE_SHARE = 0.05
"""At most about this share of the time goes into writing states: those of large networks are."""


class Loop(pl.LightningModule):
    """Trains a network, keeps a moving average of its weights, and remembers the best of these.

    A step is a function of the weights and of its number: a resumed run goes on to the same loss.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        objective: Objective,
        card: ModelCard,
        training: Training,
        batches: Callable[[int, int], Dataset[Batch]],
        validation: Sequence[LabeledImage],
        state: Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            network: What is trained.
            objective: Its losses, and the segmenter that it becomes.
            card: Of the segmenter.
            training: The recipe's part.
            batches: Makes the batches from one number on, and so many.
            validation: What the moving average is scored on; may be empty.
            state: File for the training state, written at the beginning, after every epoch, and
                every minute; None for no file.
            settings: What the run is made of, as JSON has it: a state of other settings is refused.
        """
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.best = copy.deepcopy(self.average)
        self._objective, self._card, self._training = objective, card, training
        self._batches, self._validation, self._state = batches, validation, state
        self._settings = settings
        self.best_scores: Scores | None = None
        self.history: list[float] = []
        self._seconds = 0.0
        self._started = time.monotonic()
        self._best_miou = -1.0
        self._worse = 0  # validations since the last better one
        self._kept = -1  # the step that the state on disk is of
        self._save_at = 0.0

    @property
    def seconds(self) -> float:
        """Wall-clock time spent in training, earlier runs counted in."""
        return self._seconds + time.monotonic() - self._started

    @property
    def _spent(self) -> bool:
        """Whether all steps, or all the time, are used up."""
        return progress(self.global_step, self.seconds, self._training) >= 1

    @property
    def _patience_lost(self) -> bool:
        """Whether it has got no better for too long."""
        return self._training.patience is not None and self._worse >= self._training.patience

    @property
    def interrupted(self) -> InterruptError:
        """What to say when the user stops it."""
        if self._kept < 0:
            return InterruptError("training was stopped; nothing of it is kept")
        return InterruptError(
            f"training was stopped at step {self.global_step}; what was learned up to step "
            f"{self._kept} is kept in {self._state}: the same command goes on with --resume"
        )

    @property
    def clip(self) -> float:
        """Largest norm of the gradient."""
        return self._training.clip

    def on_fit_start(self) -> None:
        """Start the clock: reading the data does not count."""
        self._started = time.monotonic()

    def on_train_start(self) -> None:
        """Take no step more where the state to resume from is that of the end."""
        if self._spent or self._patience_lost:
            self.trainer.should_stop = True
        if self.global_step == 0:
            self._save()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; no decay of biases, normalizations and single vectors."""
        parameters = list(self.network.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        training = self._training
        return torch.optim.AdamW(
            groups, lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=training.weight_decay
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """The next epoch: batches are numbered through the whole run.

        Made in this process: on few cores workers only take turns with the network.
        """
        training, step = self._training, self.global_step
        # A run that is resumed within an epoch ends it where it would have ended. Lightning does
        # not go back to its beginning, but counts what was done before.
        done = step % training.epoch
        count = done + max(1, min(training.epoch - done, training.max_steps - step))
        batches = self._batches(step, count)
        return DataLoader(batches, batch_size=None, shuffle=False, num_workers=0)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """One step; the sum of the losses."""
        del index
        generator = step_generator(self._training.seed, self.global_step, purpose=1)
        losses = self._objective.losses(self.network, batch, generator)
        total = torch.stack(list(losses.values())).sum()
        self.history.append(float(total.detach()))
        if self.global_step % LOG_EVERY == 0:
            numbers = {name: float(value.detach()) for name, value in losses.items()}
            parts = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items())
            _log.info("step %d, %.0f s: %s", self.global_step, self.seconds, parts)
            self._record({f"loss/{name}": value for name, value in numbers.items()})
        return total

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Set the learning rate."""
        del batch, index
        done = progress(self.global_step, self.seconds, self._training)
        rate = learning_rate(self.global_step, done, self._training)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def on_train_batch_end(self, outputs: Any, batch: Batch, index: int) -> None:
        """Update the moving average; write the state now and then; stop when the time is up."""
        del outputs, batch, index
        self._update_average()
        if self._spent:
            self.trainer.should_stop = True
        elif not self.trainer.is_last_batch and time.monotonic() > self._save_at:
            self._save()

    def on_train_epoch_end(self) -> None:
        """Score the moving average and write the state; stop when it gets no better."""
        if self._spent or (self.current_epoch + 1) % self._training.validate_every == 0:
            self.validate_average()
            if self._patience_lost:
                _log.info("no better for %d validations: training ends", self._worse)
                self.trainer.should_stop = True
        self._save()

    def _save(self) -> None:
        """Write the state, if there is a file for it."""
        if self._state is None:
            return
        began = time.monotonic()
        self.trainer.save_checkpoint(self._state)
        ended = time.monotonic()
        self._kept = self.global_step
        self._save_at = ended + max(SAVE_EVERY, (ended - began) / SAVE_SHARE)

    def validate_average(self) -> None:
        """Score the moving average, and keep it if the recipe says so; this takes no training time.

        Without validation images the last one is the best.
        """
        paused = time.monotonic()
        finished = self._objective.finished(self.average)
        if self._validation:
            result = score_images(self.segmenter(finished), self._validation)
            _log.info(
                "step %d, %.0f s: mIoU %.4f, accuracy %.4f, IoU %s",
                self.global_step,
                self.seconds,
                result.miou,
                result.accuracy,
                " ".join(f"{value:.3f}" for value in result.iou),
            )
            self._record({"validation/miou": result.miou, "validation/accuracy": result.accuracy})
            # A score that is no number is no reason to keep the network that nothing has taught.
            improved = not result.miou <= self._best_miou
        else:
            result, improved = None, True
        self._worse = 0 if improved else self._worse + 1
        if improved:
            self._best_miou = -1.0 if result is None else result.miou
        if improved or self._training.keep == "last":
            self.best_scores = result
            self.best.load_state_dict(finished.state_dict())
        self._started += time.monotonic() - paused

    def _record(self, numbers: dict[str, float]) -> None:
        """Numbers for TensorBoard, if they are wanted."""
        if self.logger is not None:
            self.logger.log_metrics(numbers, self.global_step)

    def segmenter(self, network: nn.Module) -> Segmenter:
        """A segmenter of one of the loop's networks."""
        return self._objective.segmenter(network, self._card)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the clock and the best scores."""
        checkpoint["geocamss"] = {
            "seconds": self.seconds,
            "best_miou": self._best_miou,
            "best_scores": None if self.best_scores is None else asdict(self.best_scores),
            "worse": self._worse,
            "settings": self._settings,
            "version": __version__,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the clock and the best scores.

        Raises:
            RecipeError: the state is that of a run with other settings.
        """
        kept = checkpoint["geocamss"]
        check_same(self._settings, kept.get("settings"), f"{self._state}")
        if kept.get("version") != __version__:
            warnings.warn(
                f"{self._state}: was written by geocamss {kept.get('version')}, this is "
                f"{__version__}: training may go on otherwise than it would have",
                GeocamssWarning,
                stacklevel=2,
            )
        self._kept = int(checkpoint["global_step"])
        self._seconds = float(kept["seconds"])
        self._best_miou = float(kept["best_miou"])
        self._worse = int(kept["worse"])
        scores = kept["best_scores"]
        self.best_scores = None if scores is None else _scores(scores)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Decay toward the weights; faster in the beginning, when the average knows nothing."""
        step = self.global_step
        decay = min(self._training.ema, (1 + step) / (10 + step))
        theirs = self.network.state_dict()
        for name, mine in self.average.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name], 1 - decay)
            else:
                mine.copy_(theirs[name])


def _scores(saved: Mapping[str, Any]) -> Scores:
    """Scores out of a state, which turns tuples into lists."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
    }
    return Scores(**fields)
