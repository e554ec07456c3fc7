"""The document that tells programs how to call the service (OpenAPI 3.1)."""

from collections.abc import Mapping, Sequence
from typing import Any

from imgtranslate._version import __version__
from imgtranslate.images import writable_suffixes
from imgtranslate.serving.models import Served
from imgtranslate.serving.request import (
    LARGEST_SEED,
    LARGEST_SIDE,
    MEDIA_TYPES,
    PARAMETERS,
)

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_REFUSALS = {
    400: "Wrong query, or an empty body",
    403: "The page of another site, or a foreign name in Host",
    404: "No such model",
    406: "None of the formats in Accept is written",
    408: "The body came too slowly",
    413: "More bytes than are taken",
    415: "Not a picture of a known format",
    422: "A damaged picture, or one of too many pixels",
    503: "The queue is full, or the server stops: Retry-After says when to come again",
}


def describe_service(models: Sequence[Served]) -> dict[str, Any]:
    """The whole document, for these models."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "imgtranslate serve", "version": __version__},
        "paths": {
            "/translate": {"post": _translate(models)},
            "/models": {"get": _plain("The models that are served", _listing())},
            "/healthz": {"get": _plain("Whether it is up, and how busy", _health())},
        },
        "components": {"schemas": {"Model": _object(_MODEL), "Error": _object(_ERROR)}},
    }


def _translate(models: Sequence[Served]) -> dict[str, Any]:
    return {
        "operationId": "translate",
        "summary": "Translate one picture into one of the same size",
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": schema}
            for name, text, schema in _parameters(models)
        ],
        "requestBody": {
            "required": True,
            "description": "The bytes of a picture in any format that translate reads",
            "content": {"image/*": _BINARY, "application/octet-stream": _BINARY},
        },
        "responses": {
            "200": {
                "description": "The translated picture",
                "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
            },
            **{str(status): _refusal(text) for status, text in _REFUSALS.items()},
        },
    }


def _parameters(models: Sequence[Served]) -> list[tuple[str, str, dict[str, Any]]]:
    """Name, description and schema of each."""
    formats = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    known: Mapping[str, tuple[str, dict[str, Any]]] = {
        "model": ("Else the first", {"enum": [model.name for model in models]}),
        "seed": ("Of the look, of models with a code", _integer(0, LARGEST_SEED)),
        "z": ("The code: numbers between commas", {"type": "string"}),
        "format": ("Of the answer; else by Accept, else png", {"enum": formats}),
        "resize": ("Make the shorter side so many px first", _integer(1, LARGEST_SIDE)),
        "quality": ("Of JPEG, WebP and AVIF", _integer(1, 100)),
        "alpha": ("What becomes of transparency", {"enum": ["keep", "drop", "matte"]}),
    }
    return [(name, *known[name]) for name in PARAMETERS]


def _integer(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _refusal(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _plain(summary: str, schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _listing() -> dict[str, Any]:
    items = {"$ref": "#/components/schemas/Model"}
    return _object({"models": {"type": "array", "items": items}})


def _health() -> dict[str, Any]:
    return _object(
        {
            "status": {"enum": ["ok", "stopping"]},
            "taken": {"type": "integer", "description": "Requests that send, wait or are served"},
        }
    )


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


_TEXT, _WHOLE = {"type": "string"}, {"type": "integer"}
_MODEL: Mapping[str, Any] = {
    "name": _TEXT,
    "direction": {"enum": ["ab", "ba"]},
    "source": _TEXT,
    "target": _TEXT,
    "file": _TEXT,
    "in_channels": _WHOLE,
    "out_channels": _WHOLE,
    "latent_dim": {"type": "integer", "description": "Numbers of the code z; 0 without one"},
    "crop_size": {"type": "integer", "description": "px, as trained"},
    "method": _TEXT,
    "step": _WHOLE,
    "device": _TEXT,
    "max_pixels": {"type": "integer", "description": "Of a picture that is translated"},
}
_ERROR: Mapping[str, Any] = {"error": {"type": "string", "description": "What, why, what to do"}}
