"""A service that a test starts and calls, and models of which the test says when they answer."""

import contextlib
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from fixtures.models import CODED_UNET, HEADER
from onnx import helper, numpy_helper
from PIL import Image

from imgtranslate.evaluation.report.live import Watch
from imgtranslate.images import Codes, Values
from imgtranslate.model_files.checkpoint import METADATA_KEY, ModelHeader, header_json
from imgtranslate.model_files.export_header import IMAGE, TRANSLATED
from imgtranslate.serving.app import Answered, serve
from imgtranslate.serving.limits import Limits
from imgtranslate.serving.models import ServedModel
from imgtranslate.serving.server import bind
from imgtranslate.serving.watch import watch
from imgtranslate.translation.translator import Translator

PATIENCE = 20.0  # s


@dataclass
class Gate:
    """An engine that turns pictures negative, once it may."""

    header: ModelHeader = HEADER
    device: str = "cpu"
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may: threading.Semaphore | None = None
    busy: threading.Lock = field(default_factory=threading.Lock)
    runs: int = 0

    def run(self, values: Values, z: Codes | None = None) -> Values:
        del z
        assert self.busy.acquire(blocking=False), "two pictures at a time"
        self.begun.release()
        if self.may is not None:
            assert self.may.acquire(timeout=PATIENCE)
        self.runs += 1
        self.busy.release()
        return -values

    def encode(self, values: Values) -> Codes:
        raise NotImplementedError

    def served(self, name: str = "horses2zebras") -> ServedModel:
        return ServedModel(
            name=name, path=Path("/secret/folder/ab.onnx"), translator=Translator(self)
        )


@dataclass
class Service:
    """A running service."""

    port: int
    answered: list[Answered]
    stopping: threading.Event
    thread: threading.Thread

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers (in lower case) of an answer."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body, dict(headers or {}))
            return answer(connection)

    def translate(
        self, body: bytes, query: str = "", **headers: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/translate{query}", body, named)

    def error(self, body: bytes, query: str = "", **headers: str) -> tuple[int, str]:
        status, content, found = self.translate(body, query, **headers)
        assert found["content-type"] == "application/json"
        told = json.loads(content)
        assert list(told) == ["error"]
        assert "\n" not in told["error"]
        return status, told["error"]

    def taken(self) -> int:
        found = json.loads(self.ask("GET", "/healthz")[1])
        return int(found["taken"])

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def socket(self, content: bytes = b"") -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        opened.sendall(content)
        return opened


def answer(connection: http.client.HTTPConnection) -> tuple[int, bytes, Mapping[str, str]]:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return response.status, response.read(), headers


@contextlib.contextmanager
def running(
    models: Sequence[ServedModel], *, limits: Limits | None = None, names: Sequence[str] = ()
) -> Iterator[Service]:
    answered: list[Answered] = []
    stopping, ready = threading.Event(), threading.Event()
    listener = bind("127.0.0.1", 0)
    thread = threading.Thread(
        target=lambda: serve(
            models,
            listener,
            limits=limits or Limits(),
            names=names,
            stop=stopping.is_set,
            ready=ready.set,
            report=answered.append,
        )
    )
    service = Service(listener.getsockname()[1], answered, stopping, thread)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield service
    finally:
        stopping.set()
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive()


@contextlib.contextmanager
def watching(*places: Path, names: Sequence[str] = ()) -> Iterator[Service]:
    stopping, ready = threading.Event(), threading.Event()
    listener = bind("127.0.0.1", 0)
    thread = threading.Thread(
        target=lambda: watch(
            Watch(places), listener, names=names, stop=stopping.is_set, ready=ready.set
        )
    )
    service = Service(listener.getsockname()[1], [], stopping, thread)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield service
    finally:
        stopping.set()
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive()


def head(length: int, *, path: str = "/translate") -> bytes:
    """The head of a request with so long a body."""
    text = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    return text.encode()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def negative(content: bytes) -> bytes:
    """The pixels that a ``Gate`` makes of a picture."""
    return (255 - np.asarray(opened(content).convert("RGB"))).tobytes()


def save_negative(path: Path) -> Path:
    """Write an export that turns pictures negative; a real one takes torch many seconds."""
    shape = ["n", HEADER.in_channels, "h", "w"]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name in (IMAGE, TRANSLATED)
    ]
    nodes = [helper.make_node("Sub", ["zero", IMAGE], [TRANSLATED])]
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    graph = helper.make_graph(nodes, "negative", ends[:1], ends[1:], [zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: header_json(HEADER)})
    onnx.save(model, path)
    return path


def coded(header: ModelHeader, numbers: int) -> ModelHeader:
    """The header of a model with a code."""
    return replace(header, generator=replace(CODED_UNET, latent_dim=numbers))
