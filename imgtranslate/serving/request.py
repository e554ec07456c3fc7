"""What a request asks for: its query and its headers, judged before its body is read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType

from starlette.datastructures import Headers, QueryParams

from imgtranslate.errors import UsageError, nearest
from imgtranslate.images import Alpha
from imgtranslate.pages import shown
from imgtranslate.serving.errors import RefusedError
from imgtranslate.serving.models import Served
from imgtranslate.translation.codes import Chosen, Looks, choose, parse_codes
from imgtranslate.translation.outputs import Output, pipe_suffix

PARAMETERS = ("model", "seed", "z", "format", "resize", "quality", "alpha")
LONGEST_VALUE = 2**14  # characters
LARGEST_SEED = 2**63 - 1
LARGEST_SIDE = 2**16  # px
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".webp": "image/webp",
        ".avif": "image/avif",
        ".tif": "image/tiff",
        ".gif": "image/gif",
        ".bmp": "image/bmp",
        ".jp2": "image/jp2",
    }
)
_SAME = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif", ".apng": ".png"}
_BYTES = "application/octet-stream"
_FORMS = "application/x-www-form-urlencoded"  # as curl --data-binary calls whatever it sends
_ALPHAS: tuple[Alpha, ...] = ("keep", "drop", "matte")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which model is to do what with a picture."""

    model: Served
    chosen: Chosen
    suffix: str  # of the format of the answer
    resize: int | None = None  # shorter side in px, before it is translated
    quality: int | None = None
    alpha: Alpha = "keep"

    @property
    def media_type(self) -> str:
        """The answer's ``Content-Type``."""
        return MEDIA_TYPES.get(_SAME.get(self.suffix, self.suffix), _BYTES)


def parse_wish(query: QueryParams, headers: Headers, *, models: Sequence[Served]) -> Wish:
    """Read a request's query and headers. Raises ``UsageError`` or ``RefusedError``."""
    values = _values(query)
    model = _model(values.get("model"), models)
    _refuse_content(headers)
    return Wish(
        model=model,
        chosen=choose(_looks(values), model.translator),
        suffix=_suffix(values.get("format"), headers.get("accept"), model.header.out_channels),
        resize=_number(values, "resize", least=1, most=LARGEST_SIDE),
        quality=_number(values, "quality", least=1, most=100),
        alpha=_alpha(values.get("alpha", "keep")),
    )


def _values(query: QueryParams) -> dict[str, str]:
    """The parameters that have a value."""
    values: dict[str, str] = {}
    for name, value in query.multi_items():
        nearest(shown(name, limit=40), PARAMETERS, what="query")
        if name in values:
            raise UsageError(f"{name}: given twice. Give it once")
        if len(value) > LONGEST_VALUE:
            raise UsageError(f"{name}: longer than {LONGEST_VALUE:,} characters. Shorten it")
        if value:
            values[name] = value
    return values


def _model(name: str | None, models: Sequence[Served]) -> Served:
    if name is None:
        return models[0]
    for model in models:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in models)
    line = f"model {shown(name, limit=60)}: not served here. Choose from {names}"
    raise RefusedError(HTTPStatus.NOT_FOUND, line)


def _looks(values: Mapping[str, str]) -> Looks:
    """The look of a model with a code; that of seed 0 where nothing is said."""
    seed = _number(values, "seed", least=0, most=LARGEST_SEED)
    code = values.get("z")
    if seed is not None and code is not None:
        raise UsageError("seed, z: both choose the look. Give one of them")
    if seed is not None:
        return Looks(options=("seed",), seed=seed)
    if code is None:
        return Looks()
    return Looks(options=("z",), codes=_codes(code))


def _codes(text: str) -> tuple[tuple[float, ...], ...]:
    try:
        return parse_codes(text)
    except UsageError as error:
        raise UsageError("z: not numbers. Write them as in 0.1,-0.4,1") from error


def _number(values: Mapping[str, str], name: str, *, least: int, most: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise UsageError(
        f"{name} {shown(text, limit=40)}: not a whole number from {least} to {most}. Give one"
    )


def _alpha(text: str) -> Alpha:
    nearest(shown(text, limit=40), _ALPHAS, what="alpha")
    return next(alpha for alpha in _ALPHAS if alpha == text)


def _suffix(file_format: str | None, accept: str | None, channels: int) -> str:
    """The format that is asked for by name, else by ``Accept``, else PNG."""
    if file_format is not None:
        return pipe_suffix(Output(file_format=shown(file_format, limit=40)), channels=channels)
    usual = pipe_suffix(Output(), channels=channels)
    if accept is None or not accept.strip():
        return usual
    for kind in _preferred(accept):
        if kind in ("*/*", "image/*", MEDIA_TYPES.get(usual, _BYTES)):
            return usual
        for suffix, media_type in MEDIA_TYPES.items():
            if kind == media_type:
                return pipe_suffix(Output(file_format=suffix), channels=channels)
    raise RefusedError(
        HTTPStatus.NOT_ACCEPTABLE,
        f"Accept: none of its types is written. Ask for {', '.join(MEDIA_TYPES.values())}",
    )


def _preferred(accept: str) -> list[str]:
    """The media types of an ``Accept``, the most wanted first; those of weight 0 left out."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(",")[:50]:
        kind, *options = (piece.strip() for piece in part.split(";"))
        weights[kind] = _weight(options)
    wanted = [kind for kind, weight in weights.items() if weight > 0]
    return sorted(wanted, key=lambda kind: -weights[kind])


def _weight(options: Sequence[str]) -> float:
    texts = [option[2:] for option in options if option.startswith("q=")]
    try:
        weight = float(texts[0]) if texts else 1.0
    except ValueError:
        return 0.0
    return weight if math.isfinite(weight) else 0.0


def _refuse_content(headers: Headers) -> None:
    """Refuse bodies that say they are not the plain bytes of a picture."""
    kind = headers.get("content-type", _BYTES).partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in (_BYTES, _FORMS, ""):
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type {shown(kind, limit=40)}: not a picture. Send its bytes as the body, as "
            f"image/png, image/jpeg or {_BYTES}",
        )
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed != "identity":
        raise RefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding {shown(packed, limit=40)}: not unpacked here. Send it as it is",
        )
