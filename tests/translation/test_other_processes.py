"""A translator in other processes: started fresh, forked, and as workers of a DataLoader."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.models import save_model
from torch.utils.data import DataLoader, Dataset

from imgtranslate import Translator, UsageError, load
from imgtranslate.engines.torch_engine import TorchEngine
from imgtranslate.exporting.export import export_model

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 140, 150, 3), np.uint8)


class Translated(Dataset[torch.Tensor]):
    """Pictures that are translated in the worker."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.translator.translate_pixels(PICTURES[index]))


@pytest.fixture(params=["torch", "onnx"])
def translator(request: pytest.FixtureRequest, tmp_path: Path) -> Translator:
    model = save_model(tmp_path / "ab.safetensors")
    if request.param == "onnx":
        export_model(model, tmp_path / "ab.onnx")
        model = tmp_path / "ab.onnx"
    return load(model, device="cpu")


def test_a_copy_translates_alike(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    copy = pickle.loads(pickle.dumps(translator))
    assert (copy.translate_pixels(PICTURES[0]) == translator.translate_pixels(PICTURES[0])).all()


def test_the_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tmp_path / "ab.safetensors")
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(load("ab.safetensors", device="cpu"))
    monkeypatch.chdir("/")
    assert pickle.loads(sent).header.direction == "ab"


def test_workers_of_a_data_loader(translator: Translator) -> None:
    wanted = [translator.translate_pixels(picture) for picture in PICTURES]
    loader = DataLoader(
        Translated(translator), batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    for found, expected in zip(loader, wanted, strict=True):
        assert (found.numpy() == expected).all()


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_pool_of_processes(translator: Translator, method: str) -> None:
    """Also after this process has used several threads, which are lost in its forks."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted = [translator.translate_pixels(picture) for picture in PICTURES]
        with multiprocessing.get_context(method).Pool(1) as pool:
            found = pool.map_async(translator.translate_pixels, PICTURES).get(300)
    finally:
        torch.set_num_threads(before)
    # the number of threads changes the last bit of a sum
    assert np.allclose(found, wanted, rtol=0, atol=1)


def test_a_translator_without_a_file_is_refused(tmp_path: Path) -> None:
    engine = TorchEngine.load(save_model(tmp_path / "ab.safetensors"), device="cpu")
    with pytest.raises(UsageError, match=r"Make it with imgtranslate\.load"):
        pickle.dumps(Translator(engine))
