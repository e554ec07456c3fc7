"""Model files in ONNX Runtime on the CPU: their graph is built from the header, without torch."""

from pathlib import Path
from typing import TYPE_CHECKING, final

from imgtranslate.engines.engine import Parts, ReadPixels, explained_shortage
from imgtranslate.engines.network_graph import encoder_graph, generator_graph
from imgtranslate.engines.onnx_graph import Graph, Tensors
from imgtranslate.engines.onnx_runtime import OnnxRuntime
from imgtranslate.errors import CheckpointError
from imgtranslate.images import Codes, Values
from imgtranslate.memory import available_memory
from imgtranslate.model_files.checkpoint import ModelHeader
from imgtranslate.model_files.export_header import CODE, IMAGE, LOG_VARIANCE, MEAN, TRANSLATED
from imgtranslate.model_files.weights import read_runnable_header, read_weights

if TYPE_CHECKING:
    from imgtranslate.engines.torch_engine import TorchEngine


MOST_PIXELS_IN_ARENA = 512 * 512  # larger pictures save memory


@final
class GraphEngine:
    """A generator, with its encoder if it has one. torch is imported for strips only."""

    runtime = OnnxRuntime.name
    device = "cpu"

    def __init__(
        self, path: Path, *, header: ModelHeader, generator: Graph, encoder: Graph | None
    ) -> None:
        layout = generator.layout | (encoder.layout if encoder else {})
        weights = read_weights(path, expected=layout)
        self.header = header
        self._path = path
        self._generator, self._weights = generator, weights
        self._sessions: dict[bool, OnnxRuntime] = {}  # of the generator, with an arena or without
        self._encoder = encoder and _load_session(path, encoder, weights, arena=True)
        self._torch: TorchEngine | None = None

    @classmethod
    def load(cls, path: Path) -> "GraphEngine":
        """Load a model file.

        Its tensors are compared with the header before they are read. Raises ``CheckpointError``.
        """
        header = read_runnable_header(path)
        generator = generator_graph(header)
        encoder = None if header.encoder is None else encoder_graph(header, header.encoder)
        return cls(path, header=header, generator=generator, encoder=encoder)

    def run(self, values: Values, z: Codes | None = None) -> Values:
        """Map (n, in, h, w) in [-1, 1] with sides that fit the network to (n, out, h, w).

        ``z``: (n, latent_dim), if the generator takes a code.
        """
        inputs = {IMAGE: values, **({} if z is None else {CODE: z})}
        arena = values.size // values.shape[1] <= MOST_PIXELS_IN_ARENA
        with explained_shortage(values.shape[-2:]):
            if arena not in self._sessions:
                self._sessions[arena] = _load_session(
                    self._path, self._generator, self._weights, arena=arena
                )
            output: Values = self._sessions[arena].run(inputs)[TRANSLATED]
        return output

    def run_strips(
        self,
        read: ReadPixels,
        z: Codes | None = None,
        *,
        size: tuple[int, int],
        strip_bytes: int,
        kept_bytes: int,
    ) -> Parts:
        """Yield the strips of ``TorchEngine.run_strips``."""
        if self._torch is None:
            from imgtranslate.engines.torch_engine import TorchEngine

            self._torch = TorchEngine.load(self._path, device=self.device)
        yield from self._torch.run_strips(
            read, z, size=size, strip_bytes=strip_bytes, kept_bytes=kept_bytes
        )

    def free_memory(self) -> int:
        """Return the free bytes of the machine."""
        return available_memory()

    def encode(self, values: Values) -> Codes:
        """Read the codes (n, latent_dim) of pictures of the target: the means, without noise."""
        return self.encode_distribution(values)[0]

    def encode_distribution(self, values: Values) -> tuple[Codes, Codes]:
        """Read mean and log variance of the codes, (n, latent_dim) each.

        Raises ``CheckpointError`` if the model has no encoder.
        """
        if self._encoder is None:
            raise CheckpointError("style: the model has no encoder to read a style. Use a seed")
        with explained_shortage(values.shape[-2:]):
            answer = self._encoder.run({IMAGE: values})
        return answer[MEAN], answer[LOG_VARIANCE]


def _load_session(path: Path, graph: Graph, weights: Tensors, *, arena: bool) -> OnnxRuntime:
    return OnnxRuntime(
        path,
        device="cpu",
        graph=graph.model().SerializeToString(),
        weights={name: weights[name] for name in graph.weights},
        arena=arena,
    )
