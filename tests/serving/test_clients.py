"""`serve` among clients that hang up, dawdle, send nonsense or too much, or are another site."""

import asyncio
import contextlib
import gc
import http.client
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from fixtures.pictures import encoded, png
from serving.service import (
    PATIENCE,
    Gate,
    Service,
    answer,
    head,
    negative,
    opened,
    running,
)
from starlette.requests import ClientDisconnect

from imgtranslate.serving import middleware, server
from imgtranslate.serving.device_queue import DeviceQueue
from imgtranslate.serving.limits import Limits


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running([Gate().served()], limits=Limits(max_bytes=100_000, timeout=0.5)) as service:
        yield service


@pytest.fixture
def gate() -> Gate:
    """An engine that waits for the test with every picture."""
    return Gate(may=threading.Semaphore(0))


def wait_for(service: Service, taken: int) -> None:
    end = time.monotonic() + PATIENCE
    while service.taken() != taken:
        assert time.monotonic() < end, service.taken()
        time.sleep(0.01)


def open_gate(gate: Gate, count: int) -> None:
    assert gate.may is not None
    gate.may.release(count)


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    with connection:
        while part := connection.recv(1 << 16):
            found += part
    return found


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes, without a word."""
    with connection, contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


# The queue


def test_a_full_queue_says_when_to_come_again(gate: Gate) -> None:
    with (
        running([gate.served()], limits=Limits(queue=2)) as service,
        ThreadPoolExecutor(3) as clients,
    ):
        sent = [png(seed=seed) for seed in range(3)]
        asked = [clients.submit(service.translate, body) for body in sent]
        wait_for(service, 3)
        status, body, headers = service.translate(png())
        assert status == 503
        assert b"queue: all 3 places are taken" in body
        assert int(headers["retry-after"]) >= 1
        assert headers["connection"] == "close"
        assert gate.runs == 0
        open_gate(gate, 3)
        for future, picture in zip(asked, sent, strict=True):
            status, body, _ = future.result()
            assert (status, opened(body).tobytes()) == (200, negative(picture))
        wait_for(service, 0)


def test_who_hangs_up_frees_the_place(gate: Gate) -> None:
    body = png()
    with running([gate.served()], limits=Limits(queue=1)) as service:
        first, second = (service.socket(head(len(body)) + body) for _ in range(2))
        gate.begun.acquire(timeout=PATIENCE)
        wait_for(service, 2)
        second.close()  # who waits
        wait_for(service, 1)
        first.close()  # who is served
        wait_for(service, 0)
        halves = [service.socket(head(len(body)) + body[:100]) for _ in range(2)]
        wait_for(service, 2)
        assert service.error(body)[0] == 503
        for half in halves:  # who still sends
            half.close()
        wait_for(service, 0)
        open_gate(gate, 2)
        status, content, _ = service.translate(body)
        assert (status, opened(content).tobytes()) == (200, negative(body))
        assert gate.runs == 2  # the first, which was begun, and the last
    assert [each.status for each in service.answered].count(499) == 4


def test_frames_that_nobody_wants_are_left_out(gate: Gate) -> None:
    frames = [opened(png(seed=seed)) for seed in range(4)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with running([gate.served()]) as service:
        client = service.socket(head(len(gif)) + gif)
        assert gate.begun.acquire(timeout=PATIENCE)
        client.close()
        wait_for(service, 0)
        open_gate(gate, 5)
        assert service.translate(png())[0] == 200
    assert gate.runs == 2


def test_what_waited_for_nobody_is_forgotten() -> None:
    """Else who comes and hangs up, again and again, fills the memory with bodies."""

    async def come_and_go(device: DeviceQueue) -> weakref.ref[Gate]:
        content = Gate()
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        with contextlib.suppress(ClientDisconnect):
            await device.run(lambda _: content.runs, gone=gone)
        return weakref.ref(content)

    async def check() -> None:
        device, may = DeviceQueue(places=2), threading.Event()
        served = asyncio.get_running_loop().create_future()
        first = asyncio.create_task(device.run(lambda _: may.wait(PATIENCE), gone=served))
        await asyncio.sleep(0.05)
        content = await come_and_go(device)
        await asyncio.sleep(0.05)
        gc.collect()
        assert content() is None
        may.set()
        assert await first

    asyncio.run(check())


def test_a_stop_finishes_the_picture_at_hand(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.2)
    body = png()
    with running([gate.served()]) as service, ThreadPoolExecutor(2) as clients:
        served = clients.submit(service.translate, body)
        assert gate.begun.acquire(timeout=PATIENCE)
        waits = clients.submit(service.translate, body)
        wait_for(service, 2)
        slow = service.socket(head(len(body)) + body[:9])
        wait_for(service, 3)
        idle = service.socket(b"POST /tra")
        service.stopping.set()
        assert b" 503 " in received(slow)
        assert received(idle) == b""
        open_gate(gate, 1)
        status, content, _ = served.result(PATIENCE)
        assert (status, opened(content).tobytes()) == (200, negative(body))
        status, content, headers = waits.result(PATIENCE)
        assert (status, headers["retry-after"]) == (503, "10")
        assert b"server: is stopping" in content
        service.thread.join(PATIENCE)
        assert not service.thread.is_alive()
    assert gate.runs == 1


# Too much, too slow


def test_too_many_bytes_are_refused_by_their_number(service: Service) -> None:
    with service.socket(head(200_000_000)) as client:  # nothing of the body is sent
        assert b" 413 " in client.recv(1 << 16)


@pytest.mark.parametrize("chunked", [False, True])
def test_200_mb_are_not_read(service: Service, chunked: bool) -> None:
    piece = bytes(1 << 20)
    client = service.socket(
        b"POST /translate HTTP/1.1\r\nHost: localhost\r\n"
        + (
            b"Transfer-Encoding: chunked\r\n\r\n"
            if chunked
            else b"Content-Length: 200000000\r\n\r\n"
        )
    )
    framed = b"100000\r\n" + piece + b"\r\n" if chunked else piece
    sent = 0
    with client:
        client.settimeout(PATIENCE)
        try:
            while sent < 190:
                client.sendall(framed)
                sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert sent < 60  # MB: what lingers, and what the system holds on the way
    assert service.answered[-1].status == 413
    wait_for(service, 0)


def test_the_answer_is_there_before_the_body_is(service: Service) -> None:
    """A client that sends all of it before it reads still gets its answer."""
    with closing(service.connection()) as connection:
        connection.request("POST", "/translate", bytes(5_000_000))
        status, body, headers = answer(connection)
    assert status == 413
    assert body == (
        b'{"error":"body: more than 100,000 bytes. Send a smaller or more compressed picture"}'
    )
    assert headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/nothing", 404), ("PUT", "/translate", 405)]
)
def test_a_body_that_no_path_takes_ends_the_connection(
    service: Service, monkeypatch: pytest.MonkeyPatch, method: str, path: str, status: int
) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.2)
    start = head(10**9, path=path).replace(b"POST", method.encode())
    found = received(service.socket(start))
    assert found.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in found


def test_who_expects_leave_to_send_is_told_before(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.2)
    start = head(200_000)[:-2] + b"Expect: 100-continue\r\n\r\n"
    assert received(service.socket(start)).startswith(b"HTTP/1.1 413 ")
    body = png()
    start = head(len(body))[:-2] + b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
    client = service.socket(start)
    assert client.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
    client.sendall(body)
    assert received(client).startswith(b"HTTP/1.1 200 ")


def test_a_slow_body_is_given_up(service: Service) -> None:
    client = service.socket(head(1000))
    start = time.monotonic()

    def drip() -> None:
        for _ in range(15):
            with contextlib.suppress(OSError):
                client.send(b"x")
            time.sleep(0.1)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    assert b" 408 " in client.recv(1 << 16)
    assert time.monotonic() - start < 5
    wait_for(service, 0)
    assert "body: not complete after 0.5 seconds" in service.answered[-1].reason
    thread.join(PATIENCE)
    client.close()


def test_a_slow_head_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    silent, slow = service.socket(), service.socket(b"POST /translate HTTP/1.1\r\nX: ")
    again = service.socket(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    found = b""
    while not found.endswith(b"}"):
        found += again.recv(1 << 16)
    again.sendall(b"GET /heal")  # a second head on the same connection
    start = time.monotonic()
    for client in (silent, slow, again):
        assert is_closed(client)
    assert time.monotonic() - start < 3


def test_who_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_SECONDS", 0.3)
    body = png((1500, 1200))
    with running([Gate().served()]) as service:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.sendall(head(len(body)) + body)
        wait_for(service, 0)
        service.stopping.set()
        service.thread.join(PATIENCE)
        assert not service.thread.is_alive()
        client.close()


def test_connections_are_bounded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 5)
    clients = [service.socket() for _ in range(5)]
    one_more = service.socket()
    one_more.settimeout(server.HEAD_SECONDS / 2)
    assert is_closed(one_more)
    for client in clients:
        client.close()


# Nonsense


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\nab",
        b"POST /translate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
        head(10**30),
    ],
)
def test_nonsense_is_refused_and_harms_nobody(service: Service, content: bytes) -> None:
    client = service.socket()
    try:
        client.sendall(content)
        found = received(client)
    except ConnectionResetError:
        found = b"HTTP/1.1 4"
    assert found.startswith(b"HTTP/1.1 4"), found
    assert service.translate(png())[0] == 200
    wait_for(service, 0)


# Other sites


def test_pages_of_other_sites_are_refused(service: Service) -> None:
    own = f"127.0.0.1:{service.port}"
    for headers, status in [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"http://{own}.evil.example"}, 403),
        ({"Origin": f"http://evil.example#{own}"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": f"http://{own}"}, 200),
        ({"Origin": f"https://{own}"}, 200),  # behind what speaks TLS
        ({"Host": "evil.example"}, 403),
        ({"Host": f"evil.example:{service.port}", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "evil.example@127.0.0.1"}, 403),
        ({"Host": "localhost@evil.example"}, 403),
        ({"Host": "2130706433"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "LOCALHOST:8000"}, 200),
        ({"Host": "192.168.1.20:8000"}, 200),
        ({"Host": "imgtranslate.localhost"}, 200),
    ]:
        found = service.ask("POST", "/translate", png(), headers)
        assert found[0] == status, (headers, found)
        assert "access-control-allow-origin" not in found[2]
        assert found[2]["x-content-type-options"] == "nosniff"
        assert found[2]["cross-origin-resource-policy"] == "same-origin"


def test_a_name_may_be_allowed() -> None:
    with running([Gate().served()], names=["Pictures.local."]) as service:
        assert service.ask("GET", "/healthz", headers={"Host": "pictures.local:80"})[0] == 200
        assert service.ask("GET", "/healthz", headers={"Host": "other.local"})[0] == 403


def test_another_site_cannot_make_it_read_a_body(service: Service) -> None:
    start = head(10**9)[:-2] + b"Origin: http://evil.example\r\n\r\n"
    with service.socket(start) as client:
        assert b" 403 " in client.recv(1 << 16)


def test_lingering_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.2)
    start = time.monotonic()
    assert b" 413 " in received(service.socket(head(10**9)))
    assert time.monotonic() - start < 2


def test_one_connection_serves_many(service: Service) -> None:
    with closing(service.connection()) as connection:
        for seed in range(3):
            connection.request("POST", "/translate", png(seed=seed))
            status, body, _ = answer(connection)
            assert (status, opened(body).tobytes()) == (200, negative(png(seed=seed)))
            connection.request("POST", "/translate", b"nonsense")
            assert answer(connection)[0] == 415
        assert isinstance(connection, http.client.HTTPConnection)
        assert connection.sock is not None
