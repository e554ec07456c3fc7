"""Event files for TensorBoard, in the folder ``tensorboard`` of a run."""

import os
import time

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import RecordWriter
from torch.utils.tensorboard.summary import scalar, text

from imgtranslate.files import explained
from imgtranslate.runs.folder import config_text
from imgtranslate.training.events import Drawn, Event, Logged, Started
from imgtranslate.training.logs.listeners import grouped


class TensorBoardLog:
    """An event file of this process.

    It is written at once and in this thread. The writer of torch has a thread of its own, whose
    failure on a full disk would show a traceback.
    """

    def __init__(self, started: Started) -> None:
        folder = started.run / "tensorboard"
        self.place = f"see it with tensorboard `logdir` {started.run}"
        # TensorBoard reads the files of a folder in the order of their names
        path = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"
        with explained(path):
            folder.mkdir(exist_ok=True)
            self.file = path.open("xb")
        self.writer = RecordWriter(self.file)
        self._write(Record(file_version="brain.Event:2"))
        self._discard_after(started.step)
        self.step = started.step
        # Markdown shows indented lines as they are
        lines = config_text(started.settings, {}).splitlines()
        settings = text("settings", "\n".join(f"    {line}" for line in lines))
        self._write(Record(step=started.step, summary=settings))
        self.file.flush()

    def show(self, event: Event) -> None:
        """Log the losses, validations and warnings of a row, or a picture of samples."""
        match event:
            case Logged(row=row):
                if row.step < self.step:
                    self._discard_after(row.step)
                self.step = row.step
                for name, value in grouped(row.numbers).items():
                    self._write(Record(step=row.step, summary=scalar(name, value)))
                for name, line in row.health.items():
                    self._write(Record(step=row.step, summary=text(f"health/{name}", line)))
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

    def _write(self, record: Record) -> None:
        record.wall_time = time.time()
        self.writer.write(record.SerializeToString())
