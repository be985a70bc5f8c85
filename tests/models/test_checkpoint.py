"""Model files: what goes in comes out, and hostile ones are refused before they cost anything."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from geocamss.errors import ModelError
from geocamss.modelcard import ModelCard
from geocamss.models import checkpoint
from geocamss.models import header as header_module
from geocamss.models.camss.network import build
from geocamss.models.header import read_card
from geocamss.models.segmenter import Sampling
from tests.models.test_model import TINY, batch, tiny_segmenter


@pytest.fixture
def saved(tmp_path) -> Path:
    segmenter = tiny_segmenter()
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(segmenter.network.state_dict(), segmenter.card, path)
    return path


def header_of(path: Path) -> tuple[dict, bytes]:
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path: Path, header: dict, body: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def with_card(path: Path, **changes) -> None:
    header, body = header_of(path)
    fields = json.loads(header["__metadata__"][header_module.CARD])
    fields |= changes
    header["__metadata__"][header_module.CARD] = json.dumps(fields)
    write(path, header, body)


def test_a_round_trip_keeps_card_weights_and_results(saved):
    segmenter = tiny_segmenter()
    loaded = checkpoint.load(saved, torch.device("cpu"))
    assert loaded.card == segmenter.card == read_card(saved)
    network, _ = checkpoint.load_network(saved)
    for name, tensor in segmenter.network.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            found = network.state_dict()[name]
            assert found.dtype is torch.float32
            assert torch.allclose(found, tensor, rtol=1e-3, atol=1e-6), name
    found = loaded(*batch(1), Sampling())
    assert (found - segmenter(*batch(1), Sampling())).abs().mean() < 0.01


def test_saving_what_was_loaded_gives_the_same_model(saved, tmp_path):
    network, card = checkpoint.load_network(saved)
    again = tmp_path / "again.safetensors"
    checkpoint.save(network.state_dict(), card, again)
    first, second = (checkpoint.load(path, torch.device("cpu")) for path in (saved, again))
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first(*batch(1), Sampling()), second(*batch(1), Sampling()))
    assert sorted(file.name for file in tmp_path.iterdir()) == [again.name, saved.name]


def test_the_fingerprint_follows_card_and_weights(saved, tmp_path):
    first = checkpoint.load(saved, torch.device("cpu")).fingerprint
    other = tmp_path / "other.safetensors"
    other.write_bytes(saved.read_bytes())
    with_card(other, version="2")
    assert checkpoint.load(other, torch.device("cpu")).fingerprint != first
    tensors = load_file(saved)
    tensors["transformer.unknown"] += 1.0
    card = read_card(saved)
    save_file(tensors, other, metadata={header_module.CARD: card.model_dump_json()})
    assert checkpoint.load(other, torch.device("cpu")).fingerprint != first


@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04" + bytes(100), b"text" * 50])
def test_files_of_another_kind_are_refused(tmp_path, content):
    path = tmp_path / "not-a-model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"not-a-model\.safetensors: not a model file"):
        checkpoint.load(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_truncated_files_are_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"tiny\.safetensors"):
        checkpoint.load(saved)


@pytest.mark.parametrize("length", [2**63, 2**40, header_module.MAX_HEADER + 1, 0, 1])
def test_absurd_header_lengths_are_refused(saved, length):
    content = saved.read_bytes()
    saved.write_bytes(struct.pack("<Q", length) + content[8:] + bytes(1000))
    with pytest.raises(ModelError, match=r"header would have"):
        checkpoint.load(saved)


@pytest.mark.parametrize("text", [b"[1, 2]", b"{" * 5000, b"\xff\xfe" * 20, b"null"])
def test_headers_that_are_no_mapping_are_refused(tmp_path, text):
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelError, match=r"odd\.safetensors"):
        checkpoint.load(path)


def test_a_file_without_a_card_is_refused(saved):
    save_file(load_file(saved), saved)
    with pytest.raises(ModelError, match="no model card"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bands": []}, "bands"),
        ({"chip": 10**9}, "chip"),
        ({"std": [0.0]}, "std must be positive"),
        ({"surprise": 1}, "surprise"),
        ({"architecture": "resnet"}, "architecture: 'resnet'"),
        ({"stride": 1}, "stride: must be 8"),
        ({"parameters": {"widht": 5}}, "parameters.widht"),
        ({"parameters": {"width": 10**9}}, "parameters.width"),
        ({"parameters": {"layers": 10**6}}, "parameters.layers"),
        ({"parameters": {"width": 30}}, "multiple of four times heads"),
        ({"parameters": {"width": 2048, "layers": 64, "latent": 4}}, "tensor"),
        ({"classes": ["a", "b"]}, "shape"),
        ({"bands": ["red", "nir"]}, "shape"),
    ],
)
def test_cards_that_do_not_fit_are_refused_by_field(saved, changes, words):
    with_card(saved, **changes)
    with pytest.raises(ModelError, match=words) as error:
        checkpoint.load(saved)
    assert "tiny.safetensors" in str(error.value)


def test_a_card_that_is_not_json_is_refused(saved):
    header, body = header_of(saved)
    header["__metadata__"][header_module.CARD] = "{"
    write(saved, header, body)
    with pytest.raises(ModelError, match="model card"):
        checkpoint.load(saved)


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    card = read_card(path)
    save_file(tensors, path, metadata={header_module.CARD: card.model_dump_json()})


def test_missing_extra_misshapen_and_mistyped_tensors_are_refused_by_name(saved):
    tensors = load_file(saved)
    name = "head.out.weight"
    cases = {
        "is missing": {k: v for k, v in tensors.items() if k != name},
        "not part of the architecture": tensors | {"head.out.weight_2": tensors[name].clone()},
        "must have shape": tensors | {name: tensors[name][:-1].contiguous()},
        "must be one of": tensors | {name: tensors[name].double()},
        "not finite": tensors | {name: torch.full_like(tensors[name], float("nan"))},
    }
    for words, changed in cases.items():
        rewrite(saved, changed)
        with pytest.raises(ModelError, match=words) as error:
            checkpoint.load(saved)
        assert name in str(error.value)
        rewrite(saved, tensors)
    checkpoint.load(saved)


def test_offsets_beyond_the_file_are_refused(saved):
    header, body = header_of(saved)
    entry = header["head.out.weight"]
    entry["data_offsets"] = [0, 10**15]
    write(saved, header, body)
    with pytest.raises(ModelError, match="weights cannot be read"):
        checkpoint.load(saved)


def test_weights_that_the_file_does_not_hold_cost_no_memory(saved, monkeypatch):
    header, _ = header_of(saved)
    write(saved, header, b"")
    built = []

    def spy(*sizes):
        built.append(build(*sizes))
        return built[-1]

    monkeypatch.setattr(checkpoint, "build", spy)
    with pytest.raises(ModelError, match="its weights take"):
        checkpoint.load_network(saved)
    assert {tensor.device.type for net in built for tensor in net.parameters()} <= {"meta"}


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ModelError, match="cannot be read"):
            checkpoint.load(path)


def test_a_card_for_four_bands_builds_a_network_for_four_bands(tmp_path):
    network = build(TINY, 4, 2)
    card = ModelCard(
        bands=["blue", "green", "red", "nir"],
        gsd=10.0,
        classes=["a", "b"],
        chip=64,
        overlap=16,
        stride=8,
        architecture="camss",
        parameters=TINY.model_dump(mode="json"),
    )
    path = tmp_path / "four.safetensors"
    checkpoint.save(network.state_dict(), card, path)
    chips = torch.zeros(1, 4, 64, 64)
    found = checkpoint.load(path, torch.device("cpu"))(chips, *batch(1)[1:], Sampling())
    assert found.shape == (1, 2, 64, 64)
