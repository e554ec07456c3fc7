"""What is said where weights that others have learnt, or packages, are missing."""

from pathlib import Path

from imgtranslate.errors import CheckpointError, UsageError


def unfit(option: str, path: Path, *, wanted: str) -> CheckpointError:
    """What to say of weights of another network."""
    return CheckpointError(f"{option} {path}: the weights of another network. Give {wanted}")


def without_extra(option: str) -> UsageError:
    """What to say where the packages are missing."""
    return UsageError(
        f"{option}: needs packages that are not here. Install them with "
        "pip install 'imgtranslate[metrics]'"
    )
