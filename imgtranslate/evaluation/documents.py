"""JSON files that a check writes into a run and a report reads, with one schema for both."""

import json
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

Number = Annotated[float, Strict()]
Count = Annotated[int, Strict(), Field(ge=0, lt=2**53)]

_LENIENT = "lenient"


class Document(BaseModel):
    """An object in such a file; construction is strict, reading is lenient.

    The file may have been edited, or written by another version. On reading, a value that does not
    fit its field is replaced by the default of the field.
    """

    model_config = ConfigDict(frozen=True)
    FILE: ClassVar[str] = ""  # name of the file in the run; empty for a part of a file

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse the text of a file. Raises ``ValueError`` or ``RecursionError`` if not JSON."""
        return cls.model_validate(json.loads(text), context=_LENIENT)

    def to_json(self) -> dict[str, Any]:
        """Return plain values of the fields that were set."""
        return self.model_dump(exclude_unset=True)

    @model_validator(mode="before")
    @classmethod
    def _only_objects(cls, value: Any, info: ValidationInfo) -> Any:
        return {} if info.context == _LENIENT and not isinstance(value, dict) else value

    @field_validator("*", mode="wrap")
    @classmethod
    def _else_default(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        try:
            return validate(value)
        except ValidationError:
            field = cls.model_fields[info.field_name or ""]
            if info.context != _LENIENT or field.is_required():
                raise
            return field.get_default(call_default_factory=True)
