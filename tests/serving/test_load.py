"""`serve` under load: no answer lost or mixed up, memory flat; among clients of every bad kind."""

import contextlib
import gc
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixtures.models import save_model
from fixtures.pictures import png
from serving.service import PATIENCE, Gate, Service, head, negative, opened, running

from imgtranslate.serving.limits import Limits
from imgtranslate.serving.models import load_models
from imgtranslate.translation.translator import load

CLIENTS = 8
MB = 2**20


def memory() -> int:
    """Bytes of this process that are in memory, without what Python has yet to give back."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def ask(service: Service, number: int) -> None:
    """One picture of its own, whose answer can be nobody else's."""
    side = 20 + number % 13
    body = png((side, side + number % 7), seed=number)
    query = "?model=other" if number % 2 else ""
    status, content, _ = service.translate(body, query)
    assert status == 200, content
    made = opened(content)
    assert (made.size, made.tobytes()) == (opened(body).size, negative(body))


def test_eight_clients_get_their_own_answers() -> None:
    gate = Gate()
    models = [gate.served(), gate.served("other")]
    with (
        running(models, limits=Limits(queue=CLIENTS)) as service,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        list(clients.map(lambda number: ask(service, number), range(200)))
    assert gate.runs == 200
    assert [each.status for each in service.answered] == [200] * 200


def hang_up(service: Service, number: int) -> None:
    body = png(seed=number)
    with service.socket(head(len(body)) + body[: number % len(body)]):
        time.sleep(0.01)


def send_nonsense(service: Service, number: int) -> None:
    noise = random.Random(number).randbytes(2000)
    with contextlib.suppress(OSError), service.socket(noise if number % 2 else head(2000) + noise):
        time.sleep(0.01)


def send_200_mb(service: Service, number: int) -> None:
    start = head(200_000_000)
    if number % 2:
        start = b"POST /translate HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        start = start.replace(b"Host: a", b"Host: localhost")
    piece = b"10000\r\n" + bytes(65536) + b"\r\n" if number % 2 else bytes(65536)
    with contextlib.suppress(OSError), service.socket(start) as client:
        for _ in range(3200):
            client.sendall(piece)


def do_not_read(service: Service, number: int) -> None:
    body = png((300, 200), seed=number)
    with service.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.sendall(head(len(body)) + body)
        time.sleep(0.05)


@pytest.mark.slow
def test_good_clients_are_served_among_bad_ones(tmp_path: Path) -> None:
    """Rounds of the same bad requests beside good ones; what the process holds does not grow."""
    path = save_model(tmp_path / "ab.safetensors")
    models = load_models([path], device="cpu", notice=lambda _: None)
    translator, sent = load(path, device="cpu"), [png((64, 48), seed=seed) for seed in range(4)]
    expected = [translator(opened(body)).tobytes() for body in sent]
    bad, held = (hang_up, send_nonsense, send_200_mb, do_not_read), []
    limits = Limits(queue=40, max_bytes=4_000_000, timeout=2)
    with running(models, limits=limits) as service:
        for _ in range(8):
            stop = threading.Event()
            with ThreadPoolExecutor(CLIENTS + len(bad)) as clients:
                plagues = [clients.submit(plague, service, kind, stop) for kind in bad]
                answers = list(clients.map(service.translate, sent * 2 * CLIENTS))
                stop.set()
                for each in plagues:
                    each.result()
            for (status, content, _), pixels in zip(answers, expected * 2 * CLIENTS, strict=True):
                assert (status, opened(content).tobytes()) == (200, pixels)
            end = time.monotonic() + PATIENCE
            while service.taken():
                assert time.monotonic() < end
                time.sleep(0.05)
            held.append(memory() / MB)
    assert max(held[4:]) < max(held[:4]) + 12, held
    assert service.thread.is_alive() is False


def plague(service: Service, kind: object, stop: threading.Event) -> None:
    assert callable(kind)
    number = 0
    while not stop.is_set() or number < 2:
        kind(service, number)
        number += 1
