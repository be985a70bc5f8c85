"""A scene and a model, both small enough for a command to run in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from geocamss.modelcard import ModelCard
from geocamss.models.camss.config import CamssConfig
from geocamss.models.camss.network import build
from geocamss.models.checkpoint import save


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose weights are drawn, not trained: what it maps does not matter here."""
    config = CamssConfig(
        stride=8,
        pyramid=(8, 8, 16),
        blocks=(0, 0, 1),
        latent=4,
        width=16,
        layers=1,
        heads=2,
        head_width=16,
        head_layers=1,
        tokenizer=(8, 8),
        decoder=(8, 8, 16),
    )
    card = ModelCard(
        name="small",
        bands=["red", "green", "blue"],
        gsd=0.5,
        scale=1 / 255,
        classes=["land", "water", "[odd] name"],
        chip=64,
        overlap=16,
        stride=8,
        architecture="camss",
        parameters=config.model_dump(),
        license="CC0-1.0",
        metrics={"mIoU": 0.5},
        training=[{"name": "nothing", "license": "CC0-1.0"}],
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build(config, len(card.bands), len(card.classes))
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save(network.state_dict(), card, path)
    return path


@pytest.fixture(scope="session")
def small_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 100 x 90 pixels at 0.5 m, the first rows without data."""
    pixels = np.random.default_rng(1).integers(1, 256, (3, 90, 100), dtype=np.uint8)
    pixels[:, :10] = 0
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=100,
        height=90,
        count=3,
        dtype="uint8",
        nodata=0,
        crs="EPSG:32633",
        transform=from_origin(500_000, 5_000_000, 0.5, 0.5),
        photometric="RGB",
    ) as file:
        file.write(pixels)
    return path
