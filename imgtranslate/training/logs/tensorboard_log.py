"""Event files for TensorBoard, in the folder ``tensorboard`` of a run."""

import os
import shlex
import time
from typing import Any

from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2  # type: ignore[import-untyped]
from torch.utils.tensorboard import RecordWriter
from torch.utils.tensorboard.summary import text

from imgtranslate.files import explained
from imgtranslate.runs.folder import config_text
from imgtranslate.training.events import Drawn, Event, Logged, Started
from imgtranslate.training.logs.listeners import grouped

Record, SessionLog, Summary = event_pb2.Event, event_pb2.SessionLog, summary_pb2.Summary


class TensorBoardLog:
    """An event file of this process.

    It is written at once and in this thread. The writer of torch has a thread of its own, whose
    failure on a full disk would show a traceback.
    """

    def __init__(self, started: Started) -> None:
        folder = started.run / "tensorboard"
        self.place = f"see it with tensorboard `logdir` {shlex.quote(str(started.run))}"
        # TensorBoard reads the files of a folder in the order of their names
        path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        with explained(path):
            folder.mkdir(exist_ok=True)
            self.file = path.open("xb")
        self.writer, self.step = RecordWriter(self.file), started.step

    def show(self, event: Event) -> None:
        """Log the settings, the numbers and warnings of a row, or a picture of samples."""
        match event:
            case Started(step=step, settings=settings):
                self._write(Record(file_version="brain.Event:2"))
                self._discard_after(step)
                # Markdown shows indented lines as they are
                lines = [f"    {line}" for line in config_text(settings, {}).splitlines()]
                self._write(Record(step=step, summary=_text("settings", "\n".join(lines))))
                self.file.flush()
            case Logged(row=row):
                if row.step < self.step:
                    self._discard_after(row.step)
                self.step = row.step
                for name, number in grouped(row.numbers).items():
                    value = Summary.Value(tag=name, simple_value=number)
                    self._write(Record(step=row.step, summary=Summary(value=[value])))
                for name, line in row.health.items():
                    self._write(Record(step=row.step, summary=_text(f"health/{name}", line)))
                self.file.flush()
            case Drawn(step=step, picture=picture):
                with Image.open(picture) as opened:
                    width, height = opened.size
                image = Summary.Image(
                    width=width,
                    height=height,
                    colorspace=3,
                    encoded_image_string=picture.read_bytes(),
                )
                value = Summary.Value(tag="samples", image=image)
                self._write(Record(step=step, summary=Summary(value=[value])))
                self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _discard_after(self, step: int) -> None:
        """Make TensorBoard forget earlier values of later steps, which training repeats."""
        start = SessionLog(status=SessionLog.START)
        self._write(Record(step=step + 1, session_log=start))

    def _write(self, record: Any) -> None:
        record.wall_time = time.time()
        self.writer.write(record.SerializeToString())


def _text(tag: str, lines: str) -> Any:
    return text(tag, lines)  # type: ignore[no-untyped-call]
