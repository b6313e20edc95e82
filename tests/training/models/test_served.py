from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from encoders.bundle import Bundle, ModelFile, Preprocessing, Tower, space_of
from encoders.serving.session import EmbeddingSession
from encoders.serving.text import Tokenizer
from training.models.compcars import CompCars, CompCarsConfig
from training.models.dcmpl import Dcmpl, DcmplConfig
from training.models.served import (
    CLIP_SCALING,
    COMPCARS_SCALING,
    DCMPL_SCALING,
    ImageEncoder,
    Scaling,
    TextEncoder,
)
from training.models.taskformer import TaskFormer, TaskFormerConfig
from training.onnx_graph import write_onnx
from training.tokens.captions import Vocabulary

VOCABULARY = Vocabulary.of(["a man in a red coat", "a dog on the grass"] * 3, has_ends=True)
SIZE_PX = 32


def dcmpl() -> Dcmpl:
    return Dcmpl(DcmplConfig(vocabulary_size=len(VOCABULARY), word_dimension=8, hidden=6, dimension=16, width=0.125))


def taskformer() -> TaskFormer:
    return TaskFormer(
        TaskFormerConfig(
            has_heads=False,
            dimension=16,
            image_px=SIZE_PX,
            vision_width=64,
            vision_layers=1,
            text_width=64,
            text_layers=1,
            max_tokens=12,
            vocabulary_size=len(VOCABULARY),
        )
    )


def compcars() -> CompCars:
    return CompCars(CompCarsConfig("resnet18"))


def embedder(system: str) -> tuple[nn.Module, Callable[[Tensor], Tensor], Scaling]:
    """Make a network, with how it embeds images and how it wants them scaled."""
    match system:
        case "dcmpl":
            people = dcmpl().eval()
            return people, people.embed_image, DCMPL_SCALING
        case "taskformer":
            scenes = taskformer().eval()
            return scenes, scenes.embed_image, CLIP_SCALING
        case _:
            cars = compcars().eval()
            return cars, cars.forward, COMPCARS_SCALING


def write_bundle(folder: Path, encoder: nn.Module, inputs: dict[str, Tensor], dimension: int) -> Bundle:
    arrays = {name: values.numpy() for name, values in inputs.items()}
    write_onnx(encoder, arrays, ["embedding"], folder / "model.onnx")
    model = ModelFile.of(folder / "model.onnx")
    is_text = "tokens" in inputs
    (folder / "tokenizer.json").write_text(VOCABULARY.tokenizer_json(max_tokens=12), encoding="utf-8")
    bundle = Bundle(
        folder=folder,
        name="small",
        version="1",
        kind="text" if is_text else "image",
        modalities=("text",) if is_text else ("image",),
        space=space_of(dimension, Tower(model_sha256=model.sha256)),
        dimension=dimension,
        precisions={"fp32": model},
        preprocessing=None if is_text else Preprocessing(size=(SIZE_PX, SIZE_PX)),
        tokenizer=ModelFile.of(folder / "tokenizer.json") if is_text else None,
        max_tokens=12 if is_text else None,
        max_batch=4,
    )
    bundle.write(folder)
    return Bundle.load(folder)


def served(bundle: Bundle, items: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]) -> Tensor:
    session = EmbeddingSession(bundle)
    session.warm_up()
    return torch.from_numpy(np.stack([np.asarray(answer) for answer in session.run(items).results]))


@pytest.mark.parametrize(("system", "dimension"), [("dcmpl", 16), ("taskformer", 16), ("compcars", 512)])
def test_images_are_served_as_they_are_trained(tmp_path: Path, system: str, dimension: int) -> None:
    """A bundle of each network gives what torch gives for the same pixels, scaled as that system wants them."""
    torch.manual_seed(2)
    network, embed, scaling = embedder(system)
    encoder = ImageEncoder(network, embed, scaling)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE_PX, SIZE_PX, 3), dtype=np.uint8)
    bundle = write_bundle(tmp_path, encoder, {"image": torch.from_numpy(pixels[:2])}, dimension)

    share = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    scaled = (share - torch.tensor(scaling.mean)[:, None, None]) / torch.tensor(scaling.std)[:, None, None]
    with torch.no_grad():
        expected = nn.functional.normalize(embed(scaled), dim=1)
    torch.testing.assert_close(served(bundle, list(pixels)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [dcmpl, taskformer])
def test_sentences_are_served_as_they_are_trained(tmp_path: Path, make: Callable[[], Dcmpl | TaskFormer]) -> None:
    """Read by the bundle's tokenizer and batched with longer ones, each gives what it gives torch alone."""
    torch.manual_seed(2)
    network = make().eval()
    tokens, lengths = torch.ones(2, 5, dtype=torch.int64), torch.tensor([5, 3])
    bundle = write_bundle(
        tmp_path, TextEncoder(network, network.embed_text), {"tokens": tokens, "lengths": lengths}, 16
    )
    tokenizer = Tokenizer(bundle)
    sentences = [tokenizer.encode(text).ids for text in ("a red coat", "the dog, on the grass in a coat", "Dog")]

    with torch.no_grad():
        alone = [
            nn.functional.normalize(network.embed_text(torch.from_numpy(ids)[None], torch.tensor([len(ids)])), dim=1)
            for ids in sentences
        ]
    torch.testing.assert_close(served(bundle, sentences), torch.cat(alone), rtol=1e-4, atol=1e-4)
