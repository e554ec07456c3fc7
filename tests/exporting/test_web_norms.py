import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from imgtranslate.exporting.web import with_norms_by_rows


def norms(epsilon: float | None) -> onnx.ModelProto:
    """Two norms, one after the other: the second gives the graph's output."""
    rng = np.random.default_rng(0)
    given = {} if epsilon is None else {"epsilon": epsilon}
    nodes = [
        helper.make_node("InstanceNormalization", [x, f"scale{y}", f"bias{y}"], [y], **given)
        for x, y in (("image", "first"), ("first", "translated"))
    ]
    numbers = [
        numpy_helper.from_array(rng.uniform(0.5, 2, 3).astype(np.float32), f"{kind}{y}")
        for y in ("first", "translated")
        for kind in ("scale", "bias")
    ]
    sides = ("n", 3, "h", "w")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name in ("image", "translated")
    ]
    graph = helper.make_graph(nodes, "norms", values[:1], values[1:], numbers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def outputs(proto: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: NDArray[np.float32] = session.run(["translated"], {"image": image})[0]
    return found


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 7, 5), (1, 3, 40, 1)])
@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_norms_by_rows_are_the_norms(shape: tuple[int, ...], epsilon: float | None) -> None:
    image = np.random.default_rng(1).normal(3, 2, shape).astype(np.float32)
    before = norms(epsilon)
    after = with_norms_by_rows(before)
    onnx.checker.check_model(after)
    assert not any(node.op_type == "InstanceNormalization" for node in after.graph.node)
    np.testing.assert_allclose(outputs(after, image), outputs(before, image), atol=1e-4)
    assert len(before.graph.node) == 2
