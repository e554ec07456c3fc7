"""The training loop, which runs to the end of the schedule or to a stop."""

import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import Domains
from imgtranslate.data.loader import Batch, SampleDataset, batches, choose_workers
from imgtranslate.data_check.check import DataReport
from imgtranslate.methods.learner import Learner, best_of, parameter_count
from imgtranslate.methods.process_group import ProcessGroup
from imgtranslate.methods.schedule import Schedule, build_schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, is_paired
from imgtranslate.training.events import (
    Forecast,
    Progress,
    Report,
    Saved,
    Speed,
    Started,
    Stop,
    TrainResult,
)
from imgtranslate.training.health import MetricsLog
from imgtranslate.training.run_state import Recovery, save_best, save_run
from imgtranslate.training.samples import write_samples
from imgtranslate.training.validation import Validation

SAVE_SECONDS = 600.0  # longest time between saves, which limits the loss by a crash
FORECAST_STEPS, FORECAST_SECONDS = 3, 3.0  # least steps and time before the forecast
WARM_UP = 2  # first steps, which are slower than the rest
WINDOW = 100  # steps over which the pace is averaged

Item = TypeVar("Item")


def learn(
    run: Run,
    learner: Learner,
    settings: Settings,
    domains: Domains,
    *,
    checked: DataReport | None,
    report: Report,
    stop: Stop,
) -> TrainResult:
    """Train to the end of the schedule.

    All ranks run this function; only rank 0 validates, writes and draws samples. The step alone
    decides what is written, so that a resumed run writes the same.
    """
    group, every = learner.group, settings.train
    schedule = build_schedule(settings, longer_side=max(len(d.files) for d in domains))
    total = schedule.total_steps()
    report(_started(run, learner, settings, schedule, checked))

    # Data, log and measures
    workers = choose_workers(settings, learner.device)
    caches = open_caches(domains, settings.data, workers=workers)
    dataset = SampleDataset(*domains, settings, paired=is_paired(settings.method), caches=caches)
    validation = Validation(settings=settings, domains=domains)
    log = MetricsLog(run=run, schedule=schedule, settings=settings, report=report)
    recovery = Recovery(run=run, settings=settings, dataset=dataset)
    first, began = learner.steps_done, time.monotonic()
    pace, forecast, saved_at = Pace(), False, began
    losses: dict[str, float] = {}

    for batch in pace.waiting_for(_batches(dataset, learner, settings, total, workers)):
        # Step
        rate = schedule.learning_rate(learner.steps_done, learner.validations)
        learner.step(batch, learning_rate=rate)
        done = learner.steps_done
        logging, validating = done % every.log_every == 0, done % every.validate_every == 0
        drawing = done % every.sample_every == 0 or done == total

        # Recovery, before any file is written by a broken learner
        if logging or validating or drawing:
            broken = recovery.recover(learner, thorough=validating)
            if broken is not None:
                log.restart(broken, learner, learning_rate=rate)
                continue

        # Losses, validation, samples
        row = learner.take_mean_losses() | learner.measures(batch) if logging else {}
        losses = row or losses
        if validating:
            row = row | (validation.measure(learner) if group.leads else {})
            group.wait()  # this has a long timeout, small messages a short one
            learner.validations = _broadcast(learner.validations, group)
        log.write(row, learner, learning_rate=rate)
        if drawing and group.leads:
            write_samples(run, learner, settings, domains)
        if drawing:
            group.wait()

        # Progress
        report(_progress(done, schedule, losses, logging, pace))
        if not forecast and pace.is_steady():
            forecast = True
            report(_forecast(pace, total - done))

        # State: after a number of steps or seconds, and with every best validation. It is saved
        # before the best models: if the process is killed in between, a resume completes them.
        stopping, late = group.any(stop(), time.monotonic() - saved_at > SAVE_SECONDS)
        best = validating and learner.is_best()
        due = done % every.save_every == 0 or late
        if due or best or stopping or done == total:
            broken = recovery.recover(learner, thorough=True)
            if broken is not None:
                log.restart(broken, learner, learning_rate=rate)
                continue
            if group.leads:
                save_run(run, learner, settings)
            saved_at = time.monotonic()
            report(Saved(step=done))
        if best and group.leads:
            save_best(run, learner, settings)
        if best or due:
            group.wait()
        if stopping:
            break
        pace.tick(extra=validating or drawing or due)
    best_index = best_of(learner.validations) if learner.validations else None
    return TrainResult(
        run=run.folder,
        step=learner.steps_done,
        total_steps=total,
        first_step=first,
        seconds=time.monotonic() - began,
        best=None if best_index is None else learner.validations[best_index],
        best_step=None if best_index is None else (best_index + 1) * every.validate_every,
    )


class Pace:
    """The duration of a step, and the share of it spent waiting for data.

    Both are means over the last steps. Periodic work, such as a validation, counts with its mean
    over all steps, so that the remaining time does not jump.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._times: deque[tuple[float, float]] = deque(
            maxlen=WINDOW
        )  # seconds of a step, and of its waiting
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


def _batches(
    dataset: SampleDataset, learner: Learner, settings: Settings, total: int, workers: int
) -> Iterator[Batch]:
    """Yield batches from the position of the learner, which a recovery sets back.

    The caller must learn from each batch before it requests the next.
    """
    while learner.steps_done < total:
        step, size = learner.steps_done, settings.train.batch_size
        stream = batches(
            dataset,
            first_position=step * size,
            num_batches=total - step,
            workers=workers,
            device=learner.device,
            split=learner.split,
        )
        for expected, batch in enumerate(stream, start=step + 1):
            yield batch
            if learner.steps_done != expected:
                break


def _broadcast(numbers: list[float], group: ProcessGroup) -> list[float]:
    """Return the numbers of rank 0."""
    return list(array("d", group.broadcast(array("d", numbers).tobytes())))


def _started(
    run: Run,
    learner: Learner,
    settings: Settings,
    schedule: Schedule,
    checked: DataReport | None,
) -> Started:
    device, size = learner.device, learner.group.size
    return Started(
        run=run.folder,
        device=str(device) if size == 1 else f"{size} processes, {device.type}",
        step=learner.steps_done,
        total_steps=schedule.total_steps(),
        total_epochs=schedule.total_epochs(),
        parameters=parameter_count(learner),
        settings=settings,
        report=checked,
    )


def _progress(
    done: int, schedule: Schedule, losses: Mapping[str, float], logged: bool, pace: Pace
) -> Progress:
    total = schedule.total_steps()
    return Progress(
        step=done,
        total_steps=total,
        epoch=schedule.epoch(done - 1),
        total_epochs=schedule.total_epochs(),
        losses=losses,
        logged=logged,
        speed=_speed(pace, total - done, batch_size=schedule.batch_size),
    )


def _speed(pace: Pace, steps: int, *, batch_size: int) -> Speed | None:
    """Describe the speed with ``steps`` remaining; None in the first steps."""
    if not pace.is_known():
        return None
    seconds = pace.seconds_per_step()
    return Speed(
        steps_per_second=1 / seconds,
        images_per_second=2 * batch_size / seconds,
        waiting=pace.waiting_share(),
        remaining_seconds=steps * seconds,
    )


def _forecast(pace: Pace, steps: int) -> Forecast:
    seconds = pace.seconds_per_step()
    return Forecast(steps=steps, seconds=steps * seconds, seconds_per_step=seconds)
