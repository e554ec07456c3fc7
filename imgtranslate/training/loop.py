"""The training loop: from where a learner stands to the end of its schedule, or to a stop."""

import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from imgtranslate.data.cache import open_caches
from imgtranslate.data.folders import Domain
from imgtranslate.data.loader import (
    Batch,
    SampleDataset,
    batches,
    choose_workers,
)
from imgtranslate.data_check.check import DataReport
from imgtranslate.errors import ImgTranslateError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.methods.process_group import ProcessGroup, ProcessGroupError
from imgtranslate.methods.schedule import Schedule, build_schedule
from imgtranslate.runs.folder import Run
from imgtranslate.settings.config import Settings, is_paired
from imgtranslate.training.events import (
    Forecast,
    Progress,
    Report,
    Saved,
    Started,
    Stop,
    TrainResult,
)
from imgtranslate.training.journal import Journal
from imgtranslate.training.pace import Pace
from imgtranslate.training.recovery import SafetyNet
from imgtranslate.training.run_state import save_best, save_run
from imgtranslate.training.samples import write_samples
from imgtranslate.training.validation import Validation

SAVE_SECONDS = 600.0  # the most that a crash may cost where steps are slow
COMPILING = ("torch._dynamo", "torch._inductor")  # where errors of torch.compile are defined
FORECAST_STEPS, FORECAST_SECONDS = 3, 3.0  # after which the rest of the schedule is foretold


def learn(
    run: Run,
    learner: Learner,
    settings: Settings,
    domains: tuple[Domain, Domain],
    checked: DataReport | None,
    report: Report,
    stop: Stop,
) -> TrainResult:
    """Train to the end of the schedule; the one long function of this package.

    All processes of a group go through it alike; what is written and shown, the leader writes.
    """
    group = learner.group
    schedule = build_schedule(settings, longer_side=max(len(d.files) for d in domains))
    first, total = learner.steps_done, schedule.total_steps()
    report(
        Started(
            run=run.folder,
            device=_named(learner.device, group),
            step=first,
            total_steps=total,
            total_epochs=schedule.total_epochs(),
            parameters=parameter_count(learner),
            report=checked,
        )
    )

    workers = choose_workers(settings, learner.device)
    caches = open_caches(domains, settings.data, workers=workers)
    dataset = SampleDataset(*domains, settings, paired=is_paired(settings.method), caches=caches)
    validation = Validation(settings=settings, domains=domains)
    journal = Journal(run=run, schedule=schedule, settings=settings, report=report)
    net = SafetyNet(run=run, settings=settings, dataset=dataset)
    every, pace = settings.train, Pace()
    losses: dict[str, float] = {}
    saved_at, foretold = time.monotonic(), False

    for batch in pace.waiting_for(_samples(dataset, learner, settings, total, workers)):
        rate = schedule.learning_rate(learner.steps_done, learner.validations)
        learner.step(batch, learning_rate=rate)
        done = learner.steps_done

        # What is written depends on the step alone, so that a resumed run writes the same.
        logging, validating = done % every.log_every == 0, done % every.validate_every == 0
        drawing = done % every.sample_every == 0 or done == total
        if (logging or validating or drawing) and net.catches(learner, thorough=validating):
            journal.begin_again(net.line, learner, learning_rate=rate)
            continue
        row = learner.take_mean_losses() | learner.measures(batch) if logging else {}
        losses = row or losses
        if validating:
            row |= validation.measure(learner) if group.leads else {}
            group.wait()  # words are waited for less patiently
            learner.validations = _told(learner.validations, group)
        journal.write(row, learner, learning_rate=rate)
        if drawing and group.leads:
            write_samples(run, learner, settings, domains)
        if drawing:
            group.wait()

        report(_progress(done, schedule, losses, logging, pace))
        if not foretold and _is_steady(pace):
            foretold = True
            report(_forecast(pace, total - done, learner.device))

        # The state is saved by the step, by the pace where steps are slow, and with every best: it
        # comes first, and should a kill come between, a resume mends the other.
        stopping, late = group.any(stop(), time.monotonic() - saved_at > SAVE_SECONDS)
        best = validating and learner.is_best()
        due = done % every.save_every == 0 or late
        if due or best or stopping or done == total:
            if net.catches(learner, thorough=True):
                journal.begin_again(net.line, learner, learning_rate=rate)
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
        pace.tick()
    return TrainResult(run=run.folder, step=learner.steps_done, total_steps=total)


def _samples(
    dataset: SampleDataset, learner: Learner, settings: Settings, total: int, workers: int
) -> Iterator[Batch]:
    """Batches in the order of positions, from where the learner stands, also once it was set back.

    Each must have been learnt from before the next is asked for.
    """
    while learner.steps_done < total:
        step, size = learner.steps_done, settings.train.batch_size
        stream = batches(
            dataset,
            first_position=step * size,
            batch_size=size,
            num_batches=total - step,
            workers=workers,
            device=learner.device,
            split=learner.split,
        )
        for expected, batch in enumerate(stream, start=step + 1):
            yield batch
            if learner.steps_done != expected:
                break


def _named(device: torch.device, group: ProcessGroup) -> str:
    return str(device) if group.size == 1 else f"{group.size} processes, {device.type}"


def _told(numbers: list[float], group: ProcessGroup) -> list[float]:
    """The leader's numbers."""
    return list(array("d", group.broadcast(array("d", numbers).tobytes())))


@contextmanager
def memory_explained(run: Run) -> Iterator[None]:
    """Turn what torch says where the memory, or a compiler, does not do into one line.

    Of the memory it says so by text alone.
    """
    try:
        yield
    except ProcessGroupError as error:
        raise ProcessGroupError(f"{run.folder}: {error} {run.folder}") from error
    except RuntimeError as error:
        said = str(error)
        if "DataLoader worker" in said and "killed" in said:
            raise ImgTranslateError(
                f"{run.folder}: a process that reads pictures was killed, most likely for want of "
                f"memory. Go on with --resume {run.folder} --workers 0"
            ) from error
        if "out of memory" in said or "allocate memory" in said:
            raise ImgTranslateError(
                f"{run.folder}: the memory is too small for these settings. Begin another run with "
                "a smaller --size, --batch-size or --base-channels"
            ) from error
        if type(error).__module__.startswith(COMPILING):
            raise ImgTranslateError(
                f"{run.folder}: torch cannot compile the networks here: "
                f"{said.partition(chr(10))[0][:200].rstrip('.')}. "
                "Begin another run without --compile"
            ) from error
        raise


def _progress(
    done: int, schedule: Schedule, losses: Mapping[str, float], logged: bool, pace: Pace
) -> Progress:
    seconds, total = pace.seconds_per_step(), schedule.total_steps()
    return Progress(
        step=done,
        total_steps=total,
        epoch=schedule.epoch(done - 1),
        total_epochs=schedule.total_epochs(),
        losses=losses,
        logged=logged,
        images_per_second=2 * schedule.batch_size / seconds if seconds else 0.0,
        waiting=pace.waiting_share(),
        remaining_seconds=(total - done) * seconds,
    )


def _is_steady(pace: Pace) -> bool:
    """Whether the pace foretells the rest: soon where steps are slow, later where they are not."""
    return pace.steps > FORECAST_STEPS and pace.steps * pace.seconds_per_step() > FORECAST_SECONDS


def _forecast(pace: Pace, steps: int, device: torch.device) -> Forecast:
    return Forecast(
        seconds=steps * pace.seconds_per_step(),
        seconds_per_step=pace.seconds_per_step(),
        device=device.type,
    )
