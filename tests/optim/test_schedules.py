"""Schedules: the same rates as torch's, epoch by epoch; states; errors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fastconv as fc
from fastconv import optim
from fastconv.nn import Parameter


def two_groups(module=optim, parameter=lambda: Parameter(np.zeros(1, np.float32))):
    return module.SGD([{"params": [parameter()], "lr": 0.5}, {"params": [parameter()], "lr": 0.02}], lr=0.1)


def sequential(scheduler, optimizer):
    ramp, fall = scheduler.LinearLR(optimizer, 0.1, 1.0, 4), scheduler.CosineAnnealingLR(optimizer, 7, 1e-3)
    return scheduler.SequentialLR(optimizer, [ramp, fall, scheduler.StepLR(optimizer, 3, 0.5)], [4, 11])


SCHEDULES = [
    lambda s, o: s.StepLR(o, 3, 0.5),
    lambda s, o: s.MultiStepLR(o, [5, 2, 5, 9], 0.1),
    lambda s, o: s.ExponentialLR(o, 0.9),
    lambda s, o: s.CosineAnnealingLR(o, 6),
    lambda s, o: s.CosineAnnealingLR(o, 5, eta_min=0.01),
    lambda s, o: s.LinearLR(o),
    lambda s, o: s.LinearLR(o, 0.25, 0.75, 8),
    lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    lambda s, o: s.LambdaLR(o, [lambda epoch: 0.95**epoch, lambda epoch: 2.0 + epoch]),
    sequential,
]


@pytest.mark.parametrize("make", SCHEDULES)
def test_agrees_with_torch(make):
    torch = pytest.importorskip("torch")
    ours, theirs = two_groups(), two_groups(torch.optim, lambda: torch.nn.Parameter(torch.zeros(1)))
    schedule, reference = make(optim, ours), make(torch.optim.lr_scheduler, theirs)
    for _ in range(25):
        # Torch multiplies on from the last rate: 25 roundings, and a cosine that cancels to 0.
        assert schedule.get_last_lr() == pytest.approx([g["lr"] for g in theirs.param_groups], rel=1e-12, abs=1e-15)
        schedule.step()
        theirs.step()
        reference.step()


@pytest.mark.parametrize("make", SCHEDULES)
def test_a_state_goes_through_json(make):
    schedule = make(optim, two_groups())
    for _ in range(5):
        schedule.step()
    other = make(optim, two_groups())
    other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(8):
        assert other.get_last_lr() == schedule.get_last_lr()
        schedule.step()
        other.step()


@pytest.mark.parametrize(
    "settings",
    [
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "cooldown": 3, "min_lr": 0.01},
        {"mode": "max", "threshold": 0.05, "patience": 1},
        {"mode": "max", "threshold": 0.1, "threshold_mode": "abs", "patience": 1},
        {"threshold": 0.2, "threshold_mode": "abs", "patience": 1},
    ],
)
def test_plateau_agrees_with_torch_and_resumes(settings):
    torch = pytest.importorskip("torch")
    ours, theirs = two_groups(), two_groups(torch.optim, lambda: torch.nn.Parameter(torch.zeros(1)))
    schedule = optim.ReduceLROnPlateau(ours, **settings)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **settings)
    metrics = np.random.default_rng(0).random(40).cumsum() / np.arange(1, 41)
    for i, metric in enumerate([*metrics, math.nan, *metrics]):
        if i == 20:
            state = schedule.state_dict()
            resumed = two_groups()
            schedule = optim.ReduceLROnPlateau(resumed, **settings)
            schedule.load_state_dict(state)
        schedule.step(float(metric))
        reference.step(float(metric))
        assert schedule.get_last_lr() == pytest.approx([g["lr"] for g in theirs.param_groups], rel=1e-12)


def test_warmup_grows_to_the_rate_and_then_begins_the_schedule():
    optimizer = two_groups()
    schedule = optim.warmup(optim.StepLR(optimizer, 2, 0.5), 4, start_factor=0.2)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda o: optim.StepLR(3, 1), "optimizer: expected an Optimizer, got int"),
        (lambda o: optim.StepLR(o, 0), "step_size: expected an int of at least 1, got 0"),
        (lambda o: optim.MultiStepLR(o, [1.5]), "milestones: expected an int"),
        (lambda o: optim.LinearLR(o, 2.0), "start_factor: expected a number in 0 to 1"),
        (lambda o: optim.LambdaLR(o, [abs]), "lr_lambda: expected 2 functions"),
        (lambda o: optim.ReduceLROnPlateau(o, "least"), "mode: expected min or max, got 'least'"),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1), "factor: expected a number between 0 and 1"),
        (lambda o: optim.ReduceLROnPlateau(o).step(), "metric: expected a number"),
        (lambda o: optim.SequentialLR(o, [optim.ReduceLROnPlateau(o)], []), "schedulers: expected schedules that are"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(two_groups(), 1)], []), "schedules of the same optimizer"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)], [3]), "milestones: for 1 schedules expected 0, got 1"),
        (lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)] * 3, [3, 2]), "in ascending order"),
    ],
)
def test_errors_name_the_argument(call, text):
    with pytest.raises(fc.TrainingError, match=text):
        call(two_groups())


def test_states_that_do_not_fit():
    for schedule in (optim.StepLR(two_groups(), 1), optim.ReduceLROnPlateau(two_groups())):
        with pytest.raises(fc.StateDictError):
            schedule.load_state_dict({})
    with pytest.raises(fc.StateDictError, match="base_lrs: expected 2 groups, got 1"):
        optim.StepLR(two_groups(), 1).load_state_dict({"last_epoch": 3, "base_lrs": [1.0]})
