"""Graphs that ``imgtranslate export`` would not write."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from imgtranslate.model_files.onnx_file import check_onnx_graph, read_onnx_metadata


def model() -> ModelProto:
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [2, 3], list(range(6)))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [], [weight])
    made: ModelProto = helper.make_model(graph)
    helper.set_model_props(made, {"key": "value"})
    return made


def endless(made: ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    made.graph.node.append(helper.make_node("Loop", ["", "", "x"], ["y"], body=body))


def nested(made: ModelProto) -> None:
    """A graph in an operator that is allowed."""
    body = helper.make_attribute("body", GraphProto())
    made.graph.node[0].attribute.append(body)


def calls(made: ModelProto) -> None:
    """Functions that call each other: the last one stands for 2^50 operators."""
    for index in range(50):
        inner = [helper.make_node(f"F{index}", ["x"], ["y"], domain="own")] * 2
        made.functions.append(
            helper.make_function("own", f"F{index + 1}", ["x"], ["y"], inner, made.opset_import)
        )


FOREIGN: dict[str, tuple[Callable[[ModelProto], object], str]] = {
    "loop": (endless, "contains the operator 'Loop'"),
    "nested": (nested, "contains a nested graph"),
    "functions": (calls, "contains a function"),
    "domain": (
        lambda made: made.graph.node.append(NodeProto(op_type="Relu", domain="com.microsoft")),
        "contains an operator of 'com.microsoft'",
    ),
    "long name": (
        lambda made: made.graph.node.append(NodeProto(op_type="R" * 10**6)),
        "a name or a shape is too long",
    ),
    "dimensions": (
        lambda made: made.graph.initializer[0].dims.extend([1] * 210_000),
        "too many fields",
    ),
    "training": (lambda made: made.training_info.add(), "contains a training graph"),
    "sparse": (lambda made: made.graph.sparse_initializer.add(), "contains a sparse tensor"),
    "large": (
        lambda made: made.graph.initializer[0].dims.append(2**50),
        "states more numbers than it has",
    ),
    "many": (
        lambda made: made.graph.node.extend([NodeProto(op_type="Relu")] * 110_000),
        "too many fields",
    ),
}


def test_a_graph_of_known_operators_passes(tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "x.onnx")
    check_onnx_graph(tmp_path / "x.onnx")
    assert read_onnx_metadata(tmp_path / "x.onnx") == {"key": "value"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_graph_is_refused(tmp_path: Path, kind: str) -> None:
    made, (change, said) = model(), FOREIGN[kind]
    change(made)
    onnx.save(made, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=said):
        check_onnx_graph(tmp_path / "x.onnx")


def test_metadata_of_very_many_fields_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(bytes([0x08, 0x01]) * 200_001)
    with pytest.raises(ValueError, match="too many fields"):
        read_onnx_metadata(tmp_path / "x.onnx")
