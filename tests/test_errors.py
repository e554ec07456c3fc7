"""The public functions with arguments of wrong types."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from fixtures.models import save_model

import imgtranslate
from imgtranslate.errors import UsageError, checks_arguments

VALUES: tuple[Any, ...] = (
    *(7, -1, 1.5, "a\0b", b"x", None, True),
    *([1], {1: 2}, object(), int, np.zeros((4, 4, 4))),
)


@checks_arguments
def example(
    path: str | Path,
    *,
    count: int = 1,
    share: float | None = None,
    word: Literal["up", "down"] | int = "up",
    names: Iterable[str] = (),
    codes: Sequence[float] | np.ndarray[Any, Any] = (),
    settings: Mapping[str, Any] | None = None,
    notice: Callable[[str], None] = print,
    anything: Any = None,
) -> str:
    """Use all arguments."""
    return f"called{[path, count, share, word, names, codes, settings, notice, anything]}"


@pytest.mark.parametrize(
    "given",
    [
        {"path": Path("x"), "count": np.int64(3), "share": np.float32(1), "anything": object()},
        {"path": "x", "share": 2, "word": 5, "names": (n for n in "ab"), "codes": range(3)},
        {"path": "x", "word": "down", "codes": np.zeros(3), "settings": {}, "notice": len},
    ],
)
def test_arguments_of_the_types_pass(given: dict[str, Any]) -> None:
    assert example(**given).startswith("called")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": 3}, "`path`: cannot be of type int. Give str or pathlib.Path"),
        ({"path": "a\0b"}, r"`path`: cannot be 'a\\x00b'. Give str or pathlib.Path"),
        ({"count": True}, "`count`: cannot be of type bool. Give int"),
        ({"count": 1.0}, "`count`: cannot be of type float. Give int"),
        ({"share": "1"}, "`share`: cannot be '1'. Give float or None"),
        ({"word": "left"}, "`word`: cannot be 'left'. Give up or down or int"),
        ({"word": np.zeros(3)}, "`word`: cannot be of type numpy.ndarray. Give up or down or int"),
        ({"names": "abc"}, "`names`: cannot be 'abc'. Give collections.Iterable"),
        (
            {"codes": b"abc"},
            "`codes`: cannot be of type bytes. Give collections.Sequence or numpy.ndarray",
        ),
        ({"notice": 1}, "`notice`: cannot be of type int. Give collections.Callable"),
    ],
)
def test_arguments_of_other_types_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        example(**{"path": "x", **given})


@pytest.mark.parametrize(
    "name",
    [
        *("cycle_check", "export", "load", "resume", "train", "translate_folder"),
        "write_demo_data",
    ],
)
def test_a_public_function_names_its_argument(name: str, tmp_path: Path) -> None:
    function = imgtranslate.__getattr__(name)
    model = save_model(tmp_path / "ab.safetensors")
    good = {
        "load": {"model": model},
        "train": {"a": tmp_path / "a", "b": tmp_path / "b"},
        "resume": {"run": tmp_path / "run"},
        "translate_folder": {"folder": "in", "output": "out", "model": model},
        "cycle_check": {"run": tmp_path / "run"},
        "export": {"model": tmp_path / "none.safetensors", "output": tmp_path / "ab.onnx"},
        "write_demo_data": {"folder": tmp_path / "demo", "train_count": 0, "test_count": 0},
    }[name]
    for argument in inspect.signature(function).parameters:
        refused = 0
        for value in VALUES:
            try:
                function(**{**good, argument: value})
            except imgtranslate.ImgTranslateError as error:
                refused += str(error).startswith(f"`{argument}`: cannot be ")
        assert refused >= 5, argument


@pytest.mark.parametrize(
    "name",
    ["batch", "draw", "encode", "encode_pixels", "translate_pixels", "translate_values"],
)
def test_a_method_of_the_translator_names_its_argument(name: str, tmp_path: Path) -> None:
    translator = imgtranslate.load(save_model(tmp_path / "ab.safetensors"))
    method = vars(imgtranslate.Translator)[name]
    argument = list(inspect.signature(method).parameters)[1]
    for value in (object(), 1.5, None, b"x"):
        with pytest.raises(UsageError, match=f"^`{argument}`: cannot be "):
            method(translator, value)


def test_a_translator_of_a_path_names_load() -> None:
    with pytest.raises(UsageError, match=r"^`engine` ab\.safetensors: a path\. Use .*load"):
        imgtranslate.Translator("ab.safetensors")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 has the type statement")
def test_a_name_of_a_type_stands_for_it() -> None:
    names: dict[str, Any] = {}
    exec("type Numbers[T] = list[T] | None", names)

    def example(numbers: Any = None) -> object:
        return numbers

    example.__annotations__["numbers"] = names["Numbers"][int]
    checked = checks_arguments(example)
    assert checked([1]) == [1]
    assert checked(None) is None
    with pytest.raises(UsageError, match=r"`numbers`: cannot be of type int\. Give list or None"):
        checked(3)
