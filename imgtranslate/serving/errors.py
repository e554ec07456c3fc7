"""Error responses: a status and one line of JSON, ``{"error": "what: why. What to do"}``."""

from http import HTTPStatus

from PIL import UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imgtranslate.errors import ImgTranslateError, UsageError


class RequestError(Exception):
    """A refused request, with its status and one line for the client."""

    def __init__(self, status: HTTPStatus, line: str, *, retry_after: int | None = None) -> None:
        super().__init__(line)
        self.status = status
        self.retry_after = retry_after  # seconds


def stopping_error() -> RequestError:
    """Return the error of a server that accepts no more requests."""
    line = "server: is stopping. Try again when it is running"
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, line, retry_after=10)


def to_request_error(error: RequestError | ImgTranslateError | MemoryError) -> RequestError:
    """Convert an error of the query, the picture or the memory to an error response."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, UsageError):
        return RequestError(HTTPStatus.BAD_REQUEST, str(error))
    if isinstance(error, MemoryError):
        line = "body: too large for the available memory. Resize or crop it first"
        return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, line)
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    if isinstance(error.__cause__, UnidentifiedImageError):
        status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return RequestError(status, f"body: {str(error).removeprefix('-: ')}")


def error_response(error: RequestError) -> JSONResponse:
    """Build the response that reports an error to a client."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return JSONResponse({"error": str(error)}, status_code=error.status, headers=headers)


async def bug_response(_: Request, error: Exception) -> Response:
    """Answer for a bug; the traceback is written to stderr."""
    line = f"server: {type(error).__name__}, a bug. See the stderr of the server"
    return JSONResponse({"error": line}, status_code=HTTPStatus.INTERNAL_SERVER_ERROR)
