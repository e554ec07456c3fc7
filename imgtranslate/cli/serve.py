"""``imgtranslate serve``."""

import ipaddress
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imgtranslate.cli.options import Device, Gpu, device_of, option
from imgtranslate.cli.stopping import stop_on_signals
from imgtranslate.cli.terminal import examples, printable, result, say, say_notice
from imgtranslate.errors import UsageError
from imgtranslate.serving.limits import Limits

if TYPE_CHECKING:
    from socket import socket

    from imgtranslate.serving.app import Answered

EPILOG = examples(
    "imgtranslate serve --model runs/horses2zebras",
    "imgtranslate serve --model ab.onnx --port 0",
    "imgtranslate serve --model runs/horses2zebras --host 0.0.0.0 --allow-host pictures.local",
    "curl -X POST -T in.jpg http://127.0.0.1:8000/translate -o out.png",
)
DEFAULTS = Limits()
limit_option = partial(option, rich_help_panel="Limits")
STOPPING = "stopping after this picture"

Host = Annotated[str, option("ADDRESS", "Address to listen on; 0.0.0.0 admits other machines.")]
AllowHost = Annotated[
    list[str] | None,
    option("NAME", "Another host name under which clients may connect. Repeatable."),
]


def serve(
    model: Annotated[
        list[Path] | None,
        option("FILE|RUN", "Model or export to serve, or a run for both directions. Repeatable."),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, option("N", "Port to listen on; 0 chooses a free one.", min=0, max=65535)
    ] = 8000,
    allow_host: AllowHost = None,
    device: Device = "auto",
    gpu: Gpu = None,
    queue: Annotated[
        int, limit_option("N", "Requests that may wait; further ones are refused.", min=0, max=1000)
    ] = DEFAULTS.queue,
    max_bytes: Annotated[
        int, limit_option("BYTES", "Largest file that a client may send.", min=1)
    ] = DEFAULTS.max_bytes,
    max_pixels: Annotated[
        int, limit_option("N", "Most pixels that a picture may have in all its frames.", min=1)
    ] = DEFAULTS.max_pixels,
    timeout: Annotated[
        float,
        limit_option("SECONDS", "Time within which a picture must arrive.", min=0.1, max=86400),
    ] = DEFAULTS.timeout,
) -> None:
    r"""Serve translations over HTTP, as a page for the browser and for other programs.

    GET / is the page. POST /translate takes a picture and returns its translation
    in the same size. GET /models, /healthz and /openapi.json describe the service.
    Nothing is written to the disk.

    Only this machine can connect unless --host is given. Ctrl-C finishes the
    current picture and stops. Needs pip install 'imgtranslate\[serve]'.
    """
    refuse_missing("serve")
    from imgtranslate.serving.app import serve as serve_models
    from imgtranslate.serving.models import list_models, load_models, pixels_in_memory
    from imgtranslate.serving.server import address_of, bind

    if not model:
        raise UsageError("--model: not given. Name a model file or the folder of a run")
    paths = list_models(model)
    with bind(host, port) as listener, stop_on_signals(STOPPING) as stopped:
        models = load_models(paths, device=device_of(device, gpu), notice=say_notice)
        for each in models:
            header = each.header
            place = f"{each.translator.device} with {each.translator.runtime}"
            say(f"{each.name}: {header.source} → {header.target} on {place}")
        if (most := pixels_in_memory(models)) < max_pixels:
            max_pixels = most
            say(f"--max-pixels: lowered to {max_pixels:,}, the most that fit into memory")
        warn_of_others(host, listener, "use this service")
        try:
            serve_models(
                models,
                listener,
                limits=Limits(
                    queue=queue, max_bytes=max_bytes, max_pixels=max_pixels, timeout=timeout
                ),
                names=allow_host or (),
                stop=stopped.is_set,
                ready=lambda: result(address_of(listener)),
                report=lambda answered: say(_line(answered)),
            )
        except KeyboardInterrupt:  # the second Ctrl-C abandons the current picture
            os._exit(stopped.exit_code)
    raise typer.Exit(stopped.exit_code)


def refuse_missing(command: str) -> None:
    """Raise ``UsageError`` if the extra ``[serve]`` is not installed."""
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise UsageError(
            f"{command}: needs {error.name}. Run pip install 'imgtranslate[serve]'"
        ) from error
    del starlette, uvicorn


def warn_of_others(host: str, listener: "socket", can: str) -> None:
    """Say that other machines can connect, if they can."""
    if not ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
        say(f"--host {host}: other machines can {can} without a password")


def _line(answered: "Answered") -> str:
    parts = [str(answered.status)]
    if answered.model is not None and answered.size is not None:
        width, height = answered.size
        parts += [answered.model, f"{width}x{height}", f"{answered.seconds:.2f} s"]
    return printable(" ".join([*parts, answered.reason]).strip())
