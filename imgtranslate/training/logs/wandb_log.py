"""A run of Weights & Biases, in the folder ``wandb`` of a run; offline unless WANDB_MODE is set."""

import os
import secrets
import shlex

import wandb

from imgtranslate.files import explained, write_text
from imgtranslate.settings.config import to_tree
from imgtranslate.training.events import Drawn, Event, Logged, Started
from imgtranslate.training.logs.listeners import grouped

FINISH_SECONDS = 300.0  # longest wait for the upload at the end


class WandbLog:
    """A run of wandb, which a resumed training continues under the same id."""

    def __init__(self, started: Started) -> None:
        folder = started.run / "wandb"
        with explained(folder):
            folder.mkdir(exist_ok=True)
        name = folder / "run_id"
        if not name.exists():
            write_text(name, secrets.token_hex(4))

        # No reports to the makers of wandb, no prompt for a key, and no files in the home folder
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_CACHE_DIR", str(folder.absolute() / "cache"))
        wandb.setup(wandb.Settings(silent=True))
        self.run = wandb.init(
            dir=started.run,
            id=name.read_text("utf-8").strip(),
            resume="allow",
            mode=None if os.environ.get("WANDB_MODE") else "offline",
            project=None if os.environ.get("WANDB_PROJECT") else "imgtranslate",
            name=None if os.environ.get("WANDB_NAME") else started.run.absolute().name,
            config=to_tree(started.settings),
            settings=wandb.Settings(
                console="off", disable_git=True, finish_timeout=FINISH_SECONDS, save_code=False
            ),
        )
        upload = f"offline; upload it with wandb sync {shlex.quote(str(folder))}/offline-run-*"
        self.place = upload if self.run.offline else self.run.url or "online"

    def show(self, event: Event) -> None:
        """Log the losses, validations and warnings of a row, or a picture of samples."""
        match event:
            case Logged(row=row):
                self.run.log(grouped(row.numbers), step=row.step)
                for name, line in row.health.items():
                    self.run.summary[f"health/{name}"] = f"step {row.step}: {line}"
            case Drawn(step=step, picture=picture):
                self.run.log({"samples": wandb.Image(str(picture))}, step=step)

    def close(self) -> None:
        """End the run of wandb; online, wait for its upload."""
        self.run.finish()
