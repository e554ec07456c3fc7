"""The training loop, which runs to the end of the schedule or to a stop."""

import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import Domains
from imgtranslate.data.loader import Batch, SampleDataset, batches, choose_workers
from imgtranslate.data_check.check import DataReport
from imgtranslate.errors import ImgTranslateError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.methods.schedule import Schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import is_paired
from imgtranslate.training.events import (
    Drawn,
    Forecast,
    Notice,
    Progress,
    Report,
    Saved,
    Speed,
    Started,
    Stop,
    TrainResult,
)
from imgtranslate.training.health import MetricsLog
from imgtranslate.training.processes import ReportedElsewhereError
from imgtranslate.training.run_state import Recovery, save_best, save_run
from imgtranslate.training.samples import Crops, sample_crops, write_samples
from imgtranslate.training.validation import Validation

SAVE_SECONDS = 600.0  # longest time between saves, which limits the loss by a crash
FORECAST_STEPS, FORECAST_SECONDS = 3, 3.0  # least steps and time before the forecast
WARM_UP = 2  # first steps, which are slower than the rest
WINDOW = 100  # steps over which the pace is averaged

Item = TypeVar("Item")


def learn(
    run: Run,
    learner: Learner,
    domains: Domains,
    *,
    checked: DataReport | None = None,
    report: Report,
    stop: Stop,
) -> TrainResult:
    """Train to the end of the schedule; ``checked``: the report on the pictures of a new run.

    All ranks run this function; only rank 0 validates, writes and draws samples. The step alone
    decides what is written, so that a resumed run writes the same.
    """
    settings, group, every = learner.settings, learner.group, learner.settings.train
    schedule = Schedule(settings=settings, longer_side=max(len(d.files) for d in domains))
    total, first, began = schedule.total_steps(), learner.steps_done, time.monotonic()
    device, ended_early = str(learner.device), _ends_early(learner)
    if group.leads and first < total and not ended_early:
        run.take_back_last()  # before logs read the metrics
    report(
        Started(
            run=run.folder,
            device=device if group.size == 1 else f"{group.size} processes, {learner.device.type}",
            step=first,
            total_steps=total,
            total_epochs=schedule.total_epochs(),
            parameters=parameter_count(learner),
            settings=settings,
            report=checked,
            ended_early=ended_early,
        )
    )

    # Data, log and measures
    workers = choose_workers(settings, learner.device)
    caches = open_caches(domains, settings.data, workers=workers)
    dataset = SampleDataset(
        *domains,
        settings,
        paired=is_paired(settings.method),
        caches=caches,
        decay_from=schedule.decay_position(),
    )
    validation = Validation(settings=settings, domains=domains)
    crops: Crops = ([], [])
    if group.leads and first < total and not ended_early:
        validation.read(learner.device)  # now, as a picture may be missing later
        crops = sample_crops(domains, settings)
    log = MetricsLog(run=run, schedule=schedule, report=report)
    recovery = Recovery(run=run, dataset=dataset, log=log)
    pace, forecast, saved_at = Pace(), False, began
    losses: dict[str, float] = {}
    skipped: set[str] = set()
    asked = settings.data.workers
    if asked != "auto" and workers < asked:
        report(Notice(text=f"data.workers {asked}: {workers}, one for each core, are used"))

    stream = _batches(dataset, learner, total=total, workers=workers, stop=stop)
    for batch in pace.waiting_for(() if ended_early else stream):
        # End without this step, if a rank has a fault instead of a batch, or was told to stop
        failing, stopping = group.any(isinstance(batch, ImgTranslateError), batch is None)
        if failing or stopping or not isinstance(batch, Batch):
            rate = schedule.learning_rate(learner.steps_done, learner.validations)
            if not recovery.recover(learner, thorough=True, learning_rate=rate) and group.leads:
                save_run(run, learner)
            report(Saved(step=learner.steps_done))
            group.wait()
            if isinstance(batch, ImgTranslateError):
                raise _with_step(batch, run=run.folder, step=learner.steps_done) from batch
            if failing:
                raise ReportedElsewhereError("another process cannot read its pictures")
            break
        for fault in sorted({*batch.faults} - skipped):
            report(Notice(text=f"{fault}. Training continues with another picture"))
        skipped.update(batch.faults)

        # Step
        rate = schedule.learning_rate(learner.steps_done, learner.validations)
        learner.step(batch, learning_rate=rate)
        done = learner.steps_done
        logging, validating = done % every.log_every == 0, done % every.validate_every == 0
        drawing = done % every.sample_every == 0

        # Recovery, before a broken learner writes a file
        writing = logging or validating or drawing or done == total
        if writing and recovery.recover(learner, thorough=validating, learning_rate=rate):
            pace.tick(extra=True)
            continue

        # Losses, validation, samples
        row = learner.take_mean_losses() | learner.measures(batch) if logging else {}
        losses = row or losses
        if validating:
            numbers = validation.measure(learner) if group.leads else {}
            row = row | numbers
            learner.validations += [numbers["validation"]] if numbers else []
            group.wait()  # this has a long timeout, small messages a short one
            shared = group.broadcast(array("d", learner.validations).tobytes())
            learner.validations = list(array("d", shared))
        ending = done == total or (validating and _ends_early(learner))
        drawing = drawing or ending
        log.write(row, learner, learning_rate=rate)
        if drawing and group.leads:
            report(Drawn(step=done, picture=write_samples(run, learner, crops)))
        if drawing:
            group.wait()

        # Progress
        report(
            Progress(
                step=done,
                total_steps=total,
                epoch=schedule.epoch(done - 1),
                total_epochs=schedule.total_epochs(),
                losses=losses,
                logged=logging,
                speed=pace.speed(total - done, batch_size=every.batch_size),
            )
        )
        if not forecast and pace.is_steady():
            forecast, seconds = True, pace.seconds_per_step()
            steps = total - done
            report(Forecast(steps=steps, seconds=steps * seconds, seconds_per_step=seconds))

        # State: after a number of steps or seconds, and with every best validation. It is saved
        # before the best models: if the process is killed in between, a resume completes them.
        stopping, late = group.any(stop(), time.monotonic() - saved_at > SAVE_SECONDS)
        best = learner.is_best()
        saving = best or late or stopping or ending or done % every.save_every == 0
        if saving and recovery.recover(learner, thorough=True, learning_rate=rate):
            pace.tick(extra=True)
            continue
        if saving and group.leads:
            save_run(run, learner)
        if saving:
            saved_at = time.monotonic()
            report(Saved(step=done, final=ending))
        if best and group.leads:
            save_best(run, learner)
        if saving:
            group.wait()
        if stopping:
            break
        pace.tick(extra=validating or drawing or saving)
        if ending:
            break

    # The last step has its losses and a validation, also where none is due. A longer run does not
    # have them: they do not go into the state, their row is marked, and `take_back_last` undoes it.
    if learner.steps_done == total and group.leads and not log.ended:
        row = learner.take_mean_losses()
        if total % every.validate_every:
            row |= validation.measure(learner)
            run.restore_best()  # of a process that was killed before it wrote the row
            before = learner.best()
            if "validation" in row and (before is None or row["validation"] < before[0]):
                save_best(run, learner, keep=True)
        rate = schedule.learning_rate(total - 1, learner.validations)
        log.write(row, learner, learning_rate=rate, last=True)
    group.wait()
    value, step = log.best(learner) or (None, None)
    return TrainResult(
        run=run.folder,
        step=learner.steps_done,
        total_steps=total,
        first_step=first,
        seconds=time.monotonic() - began,
        best=value,
        best_step=step,
        ended_early=learner.steps_done < total and _ends_early(learner),
        diverged=log.health.diverged,
    )


class Pace:
    """The duration of a step, and the share of it spent waiting for data.

    Both are means over the last steps. Periodic work, such as a validation, counts with its mean
    over all steps, so that the remaining time does not jump.
    """

    def __init__(self) -> None:
        self.steps = 0
        # seconds of a step, and of its waiting
        self._times = deque[tuple[float, float]](maxlen=WINDOW)
        self._extra = 0.0  # seconds of validations, samples and saved states
        self._began = time.perf_counter()
        self._waited = 0.0

    def waiting_for(self, stream: Iterable[Item]) -> Iterator[Item]:
        """Yield the items of ``stream`` and measure the time that each took to arrive."""
        asked = time.perf_counter()
        for item in stream:
            self._waited = time.perf_counter() - asked
            yield item
            asked = time.perf_counter()

    def tick(self, *, extra: bool = False) -> None:
        """Record the end of a step; ``extra``: it included periodic work."""
        now = time.perf_counter()
        if self.steps == WARM_UP:
            self._times.clear()
        if extra and self.is_known():
            self._extra += max(0.0, now - self._began - self._mean())
        else:
            self._times.append((now - self._began, self._waited))
        self._began = now
        self.steps += 1

    def is_known(self) -> bool:
        """Return whether a step after the slow first ones has been measured."""
        return self.steps > WARM_UP

    def seconds_per_step(self) -> float:
        """Return the mean duration of a step."""
        return self._mean() + self._extra / max(1, self.steps)

    def speed(self, steps: int, *, batch_size: int) -> Speed | None:
        """Describe the speed with ``steps`` remaining; None in the first steps."""
        if not self.is_known():
            return None
        seconds = self.seconds_per_step()
        return Speed(
            steps_per_second=1 / seconds,
            images_per_second=2 * batch_size / seconds,
            waiting=self.waiting_share(),
            remaining_seconds=steps * seconds,
        )

    def waiting_share(self) -> float:
        """Return the share of the time spent waiting for pictures, from 0 to 1."""
        whole = sum(whole for whole, _ in self._times)
        return sum(waited for _, waited in self._times) / whole if whole else 0.0

    def is_steady(self) -> bool:
        """Return whether enough steps and seconds have been measured for a forecast."""
        seconds = self.steps * self.seconds_per_step()
        return self.steps > FORECAST_STEPS and seconds > FORECAST_SECONDS

    def _mean(self) -> float:
        return sum(whole for whole, _ in self._times) / max(1, len(self._times))


def _ends_early(learner: Learner) -> bool:
    """Return whether the last ``train.patience`` validations were without a gain."""
    every, patience, best = learner.settings.train, learner.settings.train.patience, learner.best()
    if not patience or best is None:
        return False
    return len(learner.validations) - best[1] // every.validate_every >= patience


def _with_step(fault: ImgTranslateError, *, run: Path, step: int) -> ImgTranslateError:
    """Add the saved step to a fault; a run without one is not kept."""
    if step == 0:
        return fault
    text = str(fault).rstrip(".")
    return type(fault)(f"{text}. Step {step:,} is saved: continue with `resume` {run}")


def _batches(
    dataset: SampleDataset, learner: Learner, *, total: int, workers: int, stop: Stop
) -> Iterator[Batch | ImgTranslateError | None]:
    """Yield batches from the position of the learner, which a recovery sets back.

    The caller must learn from each batch before it requests the next. The last item is the error
    if a batch cannot be read, and None after a stop while a batch was awaited.
    """
    while learner.steps_done < total:
        step = learner.steps_done
        stream = batches(
            dataset,
            first_position=step * learner.split.batch_size,
            num_batches=total - step,
            workers=workers,
            device=learner.device,
            split=learner.split,
            stop=stop,
        )
        expected = step
        try:
            for expected, batch in enumerate(stream, start=step + 1):
                yield batch
                if learner.steps_done != expected:
                    break
            else:
                if expected < total:
                    yield None
        except ImgTranslateError as error:
            yield error
