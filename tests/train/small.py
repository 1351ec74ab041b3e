"""A network, data and a trainer that a test can run in a second."""

from __future__ import annotations

import fastconv as fc
from fastconv import nn


def network(classes=3):
    """Convolution, batch norm, dropout, pooling: one of everything that has a state."""
    fc.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, classes),
    )  # fmt: skip


def loaders(count=96, batch=16, transform=None, classes=3):
    data = fc.data.gaussian_blobs(count, classes=classes, seed=1)
    test = fc.data.gaussian_blobs(48, classes=classes, seed=2)
    return fc.data.DataLoader(data, batch, shuffle=True, seed=3, transform=transform), fc.data.DataLoader(test, 20)


def trainer(**settings):
    model = network()
    optimizer = settings.pop("optimizer", fc.optim.Adam)(model.parameters(), settings.pop("lr", 5e-3))
    make_schedule = settings.pop("schedule", None)
    schedule = make_schedule(optimizer) if make_schedule else None
    return fc.train.Trainer(model, optimizer, schedule=schedule, **settings)


def weights(trained):
    return {key: value.copy() for key, value in trained.model.state_dict().items()}
