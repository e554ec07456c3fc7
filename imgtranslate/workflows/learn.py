"""The training loop: from where a learner stands to the end of its schedule, or to a stop."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from imgtranslate.config import Settings, is_paired
from imgtranslate.data.check import DataReport
from imgtranslate.data.folders import Domain
from imgtranslate.data.loader import SampleDataset, batches, choose_workers
from imgtranslate.errors import ImgTranslateError
from imgtranslate.methods.learner import Learner, parameter_count
from imgtranslate.methods.schedule import Schedule, build_schedule
from imgtranslate.run_folder import Run
from imgtranslate.workflows.events import (
    Forecast,
    Notice,
    Progress,
    Report,
    Saved,
    Started,
    Stop,
    TrainResult,
)
from imgtranslate.workflows.pace import Pace
from imgtranslate.workflows.run_state import save_run
from imgtranslate.workflows.samples import write_samples
from imgtranslate.workflows.validate import validate

SAVE_SECONDS = 600.0  # the most that a crash may cost where steps are slow
Row = dict[str, float]
CODE_STEPS, CODE_IGNORED = 500, 0.01  # samples of one input nearer than this: z does nothing
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
    """Train to the end of the schedule; the one long function of this package."""
    schedule = build_schedule(settings, longer_side=max(len(d.files) for d in domains))
    first, total = learner.steps_done, schedule.total_steps()
    report(
        Started(
            run=run.folder,
            device=str(learner.device),
            step=first,
            total_steps=total,
            total_epochs=schedule.total_epochs(),
            parameters=parameter_count(learner),
            report=checked,
        )
    )

    # Samples are read in the order of positions, from where the state stands.
    stream = batches(
        SampleDataset(*domains, settings, paired=is_paired(settings.method)),
        first_position=first * settings.train.batch_size,
        batch_size=settings.train.batch_size,
        num_batches=max(0, total - first),
        workers=choose_workers(settings.data.workers, learner.device),
        device=learner.device,
    )
    pace = Pace()
    losses: dict[str, float] = {}
    saved_at, saved_step, foretold, warned = time.monotonic(), first, False, False

    for batch in pace.waiting_for(stream):
        step = learner.steps_done
        rate = schedule.learning_rate(step, learner.validations)
        learner.step(batch, learning_rate=rate)
        done = learner.steps_done

        # What is written depends on the step alone, so that a resumed run writes the same.
        logged, row = done % settings.train.log_every == 0, Row()
        if logged:
            _refuse_non_finite(learner, run, saved_step)
            losses = row = learner.take_mean_losses() | learner.measures(batch)
            if not warned and done >= CODE_STEPS and row.get("diversity", 1) < CODE_IGNORED:
                warned = True
                report(Notice(text=_CODE_IGNORED_TEXT.format(row["diversity"])))
        if done % settings.train.validate_every == 0:
            row = row | validate(learner, settings, domains)
        if row:
            run.append_metrics({"step": done, "epoch": schedule.epoch(step), "lr": rate, **row})
        if done % settings.train.sample_every == 0 or done == total:
            write_samples(run, learner, settings, domains)

        report(_progress(done, schedule, losses, logged, pace))
        if not foretold and _is_steady(pace):
            foretold = True
            report(_forecast(pace, total - done, learner.device))

        # The state is saved by the step, and by the pace where steps are slow.
        stopping = stop()
        due = done % settings.train.save_every == 0 or time.monotonic() - saved_at > SAVE_SECONDS
        if due or stopping or done == total:
            _refuse_non_finite(learner, run, saved_step)
            save_run(run, learner, settings)
            saved_at, saved_step = time.monotonic(), done
            report(Saved(step=done))
        if stopping:
            break
        pace.tick()
    return TrainResult(run=run.folder, step=learner.steps_done, total_steps=total)


_CODE_IGNORED_TEXT = (
    "the code z is being ignored: two samples of one picture differ by {:.2%} of the range. "
    "Train longer, or raise method.lambda_latent"
)


@contextmanager
def memory_explained(run: Run) -> Iterator[None]:
    """Turn what torch says where the memory does not do into one line; it says so by text alone."""
    try:
        yield
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


def _refuse_non_finite(learner: Learner, run: Run, saved_step: int) -> None:
    if not learner.is_finite():
        raise ImgTranslateError(
            f"{run.folder}: the losses are not finite at step {learner.steps_done}. The state of "
            f"step {saved_step} is kept; start anew with a lower --lr or another --seed"
        )
