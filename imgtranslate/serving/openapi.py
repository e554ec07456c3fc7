"""The JSON responses of the service, and the OpenAPI document that describes it."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from imgtranslate._version import __version__
from imgtranslate.images import writable_suffixes
from imgtranslate.serving.models import ServedModel
from imgtranslate.serving.request import MEDIA_TYPES, PARAMETERS
from imgtranslate.settings.config import Direction


class Model(BaseModel):
    """A served model."""

    name: str
    direction: Direction
    source: str
    target: str
    file: str = Field(description="File name of the model, without the folder")
    in_channels: int
    out_channels: int
    latent_dim: int = Field(description="Length of the latent code z; 0 without one")
    crop_size: int = Field(description="Size of the training crops, in px")
    method: str
    step: int
    device: str
    max_pixels: int = Field(description="Most pixels of a picture, all frames together")


class ModelList(BaseModel):
    """The served models."""

    models: list[Model]


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "stopping"]
    taken: int = Field(description="Requests that are being sent, wait or are served")


class Error(BaseModel):
    """A refused request."""

    error: str = Field(description="what: why. What to do")


_ERRORS = {
    400: "Invalid query, or an empty body",
    403: "A request by the page of another site, or with a foreign name in Host",
    404: "No such model",
    406: "None of the formats in Accept is available",
    408: "The body arrived too slowly",
    413: "More bytes than the limit",
    415: "Not a picture of a known format",
    422: "A damaged picture, or too many pixels",
    503: "The queue is full, or the server stops; Retry-After says when to try again",
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_SCHEMAS = "#/components/schemas/"


def describe_model(model: ServedModel, *, max_pixels: int) -> Model:
    """Describe a model to clients, with the file name instead of the path."""
    own = {
        "name": model.name,
        "file": model.path.name,
        "latent_dim": model.translator.latent_dim,
        "device": model.translator.device,
        "max_pixels": max_pixels,
    }
    return Model.model_validate({**vars(model.header), **own})


def describe_service(models: Sequence[str]) -> dict[str, Any]:
    """Build the document for models of these names."""
    _, schemas = models_json_schema(
        [(each, "serialization") for each in (ModelList, Health, Error)],
        ref_template=_SCHEMAS + "{model}",
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "imgtranslate serve", "version": __version__},
        "paths": {
            "/translate": {"post": _describe_translate(models)},
            "/models": {"get": _describe_get(ModelList, "The served models")},
            "/healthz": {"get": _describe_get(Health, "The state of the server")},
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _describe_translate(models: Sequence[str]) -> dict[str, Any]:
    formats = [suffix.removeprefix(".") for suffix in writable_suffixes()]
    choices = {"model": {"enum": list(models)}, "format": {"enum": formats}}
    return {
        "operationId": "translate",
        "summary": "Translate one picture into one of the same size",
        "parameters": [
            {
                "name": name,
                "in": "query",
                "description": schema["description"],
                "schema": {**schema, **choices.get(name, {})},
            }
            for name, schema in PARAMETERS.items()
        ],
        "requestBody": {
            "required": True,
            "description": "The bytes of a picture in any supported format",
            "content": {"image/*": _BINARY, "application/octet-stream": _BINARY},
        },
        "responses": {
            "200": {
                "description": "The translated picture",
                "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY),
            },
            **{str(status): _json(Error, text) for status, text in _ERRORS.items()},
        },
    }


def _describe_get(model: type[BaseModel], summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _json(model, summary)}}


def _json(model: type[BaseModel], description: str) -> dict[str, Any]:
    schema = {"$ref": _SCHEMAS + model.__name__}
    return {"description": description, "content": {"application/json": {"schema": schema}}}
