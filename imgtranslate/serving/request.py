"""The request to translate: its query and headers, which are checked first, and its body."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request

from imgtranslate.errors import UsageError, nearest
from imgtranslate.images import Alpha
from imgtranslate.pages import shown
from imgtranslate.serving.errors import RequestError
from imgtranslate.serving.models import ServedModel
from imgtranslate.translation.codes import Model, Samples, parse_codes, with_samples
from imgtranslate.translation.outputs import SYNONYMS, Output, pipe_suffix
from imgtranslate.translation.stages import Options

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".tif": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".jp2": "image/jp2",
}
_SAME = {**SYNONYMS, ".apng": ".png"}
_BYTES = "application/octet-stream"
_FORM = "application/x-www-form-urlencoded"  # curl --data-binary sends this for any file
_LONGEST_VALUE = 2**14  # characters


def _check_digits(text: str) -> str:
    """Refuse other spellings of numbers that ``int`` accepts: 1_000, +5, 1.0."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return text


Absent = SkipJsonSchema[None]
Digits = BeforeValidator(_check_digits)
Seed = Annotated[int, Field(ge=0, le=2**63 - 1), Digits]
Side = Annotated[int, Field(ge=1, le=2**16), Digits]
Quality = Annotated[int, Field(ge=1, le=100), Digits]


class Query(BaseModel):
    """The query of ``POST /translate``, as described by the OpenAPI document."""

    model: str | Absent = Field(None, description="Name of a served model; by default the first")
    seed: Seed | Absent = Field(None, description="Random seed of the latent code; by default 0")
    z: str | Absent = Field(None, description="Latent code: its numbers, separated by commas")
    format: str | Absent = Field(
        None, description="Format of the response; by default that of Accept, or png"
    )
    resize: Side | Absent = Field(
        None, description="Shorter side, in px, to which the picture is resized first"
    )
    quality: Quality | Absent = Field(None, description="Quality of JPEG, WebP and AVIF, 1 to 100")
    alpha: Alpha = Field(
        "keep", description="Keep transparency, drop it, or composite over white (matte)"
    )


PARAMETERS: dict[str, dict[str, Any]] = {
    name: {key: value for key, value in schema.items() if value is not None}
    for name, schema in Query.model_json_schema()["properties"].items()
}


@dataclass(frozen=True, kw_only=True)
class TranslateRequest:
    """A request with a valid query and valid headers."""

    model: Model
    options: Options

    @property
    def media_type(self) -> str:
        """The ``Content-Type`` of the response."""
        suffix = self.options.pipe_suffix
        return MEDIA_TYPES.get(_SAME.get(suffix, suffix), _BYTES)


def parse_request(
    query: QueryParams, headers: Headers, *, models: Sequence[ServedModel], max_pixels: int
) -> TranslateRequest:
    """Check a query and headers. Raises ``UsageError`` or ``RequestError``."""
    values = parse_query(query)
    served = _find_model(values.model, models)
    _check_content(headers)
    channels = served.header.out_channels
    return TranslateRequest(
        model=with_samples(served.translator, _samples(values), name=served.name),
        options=Options(
            alpha=values.alpha,
            max_pixels=max_pixels,
            resize=values.resize,
            quality=values.quality,
            pipe_suffix=_suffix(values.format, headers.get("accept"), channels=channels),
        ),
    )


def parse_query(query: QueryParams) -> Query:
    """Check the names and values of a query; empty values are ignored."""
    values: dict[str, str] = {}
    for name, value in query.multi_items():
        nearest(shown(name, limit=40), PARAMETERS, what="query")
        if name in values:
            raise UsageError(f"{name}: given twice. Give it once")
        if len(value) > _LONGEST_VALUE:
            raise UsageError(f"{name}: longer than {_LONGEST_VALUE:,} characters. Shorten it")
        if value:
            values[name] = value
    try:
        return Query.model_validate(values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise UsageError(_why_invalid(name, shown(values[name], limit=40))) from error


def _why_invalid(name: str, value: str) -> str:
    schema = PARAMETERS[name]
    if "enum" in schema:
        nearest(value, schema["enum"], what=name)
    least, most = schema["minimum"], schema["maximum"]
    return f"{name} {value}: not a whole number from {least} to {most}. Give one"


def _find_model(name: str | None, models: Sequence[ServedModel]) -> ServedModel:
    named = {model.name: model for model in models}
    if name is not None and name not in named:
        line = f"model {shown(name, limit=60)}: not served. Choose from {', '.join(named)}"
        raise RequestError(HTTPStatus.NOT_FOUND, line)
    return models[0] if name is None else named[name]


def _samples(values: Query) -> Samples:
    if values.seed is not None and values.z is not None:
        raise UsageError("seed, z: both choose the latent code. Give one of them")
    if values.seed is not None:
        return Samples(options=("seed",), seed=values.seed)
    if values.z is None:
        return Samples()
    try:
        return Samples(options=("z",), codes=parse_codes(values.z))
    except UsageError as error:
        raise UsageError("z: not numbers. Write them like 0.1,-0.4,1") from error


def _suffix(file_format: str | None, accept: str | None, *, channels: int) -> str:
    """Choose the format by name, else by ``Accept``, else PNG."""
    if file_format is not None:
        try:
            return pipe_suffix(Output(file_format=shown(file_format, limit=40)), channels=channels)
        except UsageError as error:  # the parameter has another name here
            raise UsageError(str(error).replace("`file_format`", "format", 1)) from error
    usual = pipe_suffix(Output(), channels=channels)
    if accept is None or not accept.strip():
        return usual
    for kind in _preferred(accept):
        if kind in ("*/*", "image/*", MEDIA_TYPES.get(usual, _BYTES)):
            return usual
        for suffix, media_type in MEDIA_TYPES.items():
            if kind == media_type:
                return pipe_suffix(Output(file_format=suffix), channels=channels)
    raise RequestError(
        HTTPStatus.NOT_ACCEPTABLE,
        f"Accept: none of its types is available. Use one of {', '.join(MEDIA_TYPES.values())}",
    )


def _preferred(accept: str) -> list[str]:
    """List the media types of an ``Accept`` header by preference, without those of q=0."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(",")[:50]:
        kind, *options = (piece.strip() for piece in part.split(";"))
        weight = next((option[2:] for option in options if option.startswith("q=")), "1")
        weights[kind] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return sorted((kind for kind in weights if weights[kind] > 0), key=lambda kind: -weights[kind])


_WEIGHT = re.compile(r"[0-9]{0,3}[.]?[0-9]{1,9}")


def _check_content(headers: Headers) -> None:
    """Refuse a body that is not the plain bytes of a picture according to its headers."""
    kind = headers.get("content-type", _BYTES).partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in (_BYTES, _FORM, ""):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type {shown(kind, limit=40)}: not a picture. Send its bytes as the body, as "
            f"image/png, image/jpeg or {_BYTES}",
        )
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {shown(packed, limit=40)}: not supported. Leave it out",
        )


async def read_body(request: Request, *, max_bytes: int) -> bytes:
    """Read the bytes of a picture and count them, regardless of ``Content-Length``.

    Raises ``RequestError``, and ``ClientDisconnect`` if the client hangs up.
    """
    _check_length(int(request.headers.get("content-length", 0)), max_bytes)
    content = io.BytesIO()
    async for part in request.stream():
        content.write(part)
        _check_length(content.tell(), max_bytes)
    if not content.tell():
        raise RequestError(HTTPStatus.BAD_REQUEST, "body: empty. Send the bytes of a picture")
    return content.getvalue()


def _check_length(length: int, max_bytes: int) -> None:
    if length > max_bytes:
        line = f"body: more than {max_bytes:,} bytes. Send a smaller or more compressed picture"
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, line)
