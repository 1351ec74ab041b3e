"""The loop: it learns, it is deterministic, it goes on after any interruption with the same bits."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import fastconv as fc
from fastconv.backends import placement
from tests.train import small


class Interrupt(fc.train.Callback):
    """Breaks the run off after so many steps, as a killed process would."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer):
        if trainer.steps == self.step:
            raise KeyboardInterrupt


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def timeless(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in history]


def test_it_learns_and_reports():
    trainer = small.trainer()
    history = trainer.fit(*small.loaders(192), epochs=6)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["test_accuracy"] > 0.9 and history[-1]["train_loss"] < history[0]["train_loss"] / 2
    assert history[-1]["test_top5"] == 1 and json.dumps(history)
    result = trainer.evaluate(small.loaders()[1])
    assert result.count == 48 and result.confusion.sum() == 48 and result.top1 == history[-1]["test_accuracy"]
    assert trainer.model.training  # evaluation gave the mode back


def test_a_step_is_the_one_that_is_written_out():
    model, reference = small.network(), small.network()
    loader = small.loaders(32)[0]
    fc.train.Trainer(model, fc.optim.SGD(model.parameters(), 0.1), seed=5).fit(loader, epochs=1)
    fc.manual_seed(5)
    loader.set_epoch(0)
    optimizer = fc.optim.SGD(reference.parameters(), 0.1)
    for x, labels in loader:
        fc.nn.functional.cross_entropy(reference(fc.Tensor(x)), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert same(model.state_dict(), reference.state_dict())


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_threads_change_no_bit(precision, threads):
    results = []
    for count in (1, 2, 3):
        threads(count)
        trainer = small.trainer(precision=precision)
        trainer.fit(small.loaders()[0], epochs=2)
        results.append(small.weights(trainer))
    assert same(results[0], results[1]) and same(results[0], results[2])
    assert all(value.dtype in (np.float32, np.int64) for value in results[0].values())


SETTINGS = {
    "adam": {},
    "schedule, clipping": {"schedule": lambda o: fc.optim.CosineAnnealingLR(o, 3), "clip": 0.5},
    "a schedule by steps": {"schedule": lambda o: fc.optim.StepLR(o, 4, 0.7), "schedule_unit": "step"},
    "plateau, momentum": {"optimizer": fc.optim.NAG, "schedule": lambda o: fc.optim.ReduceLROnPlateau(o, patience=0)},
    "float16": {"precision": "float16"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("step", [2, 6, 9])  # within an epoch of 6, at its end, within the next
def test_an_interrupted_run_goes_on_bit_for_bit(name, step, tmp_path):
    def make(*callbacks):
        stopping = fc.train.EarlyStopping(patience=50)
        return small.trainer(
            **SETTINGS[name], callbacks=[stopping, fc.train.Checkpoints(tmp_path, every=1), *callbacks]
        )

    def data():
        return small.loaders(transform=fc.data.augment.RandomTranslation(1))

    whole = make()
    whole.fit(*data(), epochs=3)
    state = whole.state_dict()
    with pytest.raises(KeyboardInterrupt):
        make(Interrupt(step)).fit(*data(), epochs=3)
    fc.manual_seed(1234)  # whatever happens in between
    resumed = make()
    resumed.resume(tmp_path / "last.safetensors")
    resumed.fit(*data(), epochs=3)
    assert same(small.weights(resumed), small.weights(whole))
    again = resumed.state_dict()
    assert timeless(resumed.history) == timeless(whole.history)
    for part in ("generator", "schedule", "scaler", "loader", "callbacks", "running"):
        assert again[part] == state[part]
    for a, b in zip(again["optimizer"]["state"], state["optimizer"]["state"], strict=True):
        assert same(a, b)


def test_more_epochs_go_on_from_what_is_done():
    whole, parts = small.trainer(), small.trainer()
    whole.fit(small.loaders()[0], epochs=3)
    loader = small.loaders()[0]
    parts.fit(loader, epochs=1)
    parts.fit(loader, epochs=3)
    assert same(small.weights(whole), small.weights(parts)) and len(parts.history) == 3


def test_a_state_of_another_run_is_refused():
    state = small.trainer().state_dict()
    with pytest.raises(fc.StateDictError, match="state: precision: expected 'float16', as this run has, got 'float32'"):
        small.trainer(precision="float16").load_state_dict(state)
    with pytest.raises(fc.StateDictError, match="state: optimizer: expected 'SGD'"):
        small.trainer(optimizer=fc.optim.SGD).load_state_dict(state)
    with pytest.raises(fc.StateDictError, match="'kind' is missing"):
        small.trainer().load_state_dict({})


def test_callbacks_are_called_in_order_and_stop_the_run():
    calls = []

    class Note(fc.train.Callback):
        def on_fit_begin(self, trainer):
            calls.append("begin")

        def on_step_end(self, trainer):
            calls.append(trainer.position)

        def on_epoch_end(self, trainer, row):
            calls.append(f"epoch {row['epoch']}")
            trainer.stop = row["epoch"] == 2

        def on_fit_end(self, trainer):
            calls.append("end")

    small.trainer(callbacks=[Note()]).fit(small.loaders(48)[0], epochs=9)
    assert calls == ["begin", 1, 2, 3, "epoch 1", 1, 2, 3, "epoch 2", "end"]


def test_early_stopping_waits_for_its_patience():
    stopping = fc.train.EarlyStopping(patience=2)
    trainer = small.trainer(callbacks=[stopping])
    for epoch, loss in enumerate([3.0, 2.0, 2.0, 1.5, 1.6, math.nan, 1.0], 1):
        stopping.on_epoch_end(trainer, {"epoch": epoch, "test_loss": loss})
        assert trainer.stop == (epoch >= 6)
        if trainer.stop:
            break
    assert (stopping.best.epoch, stopping.best.value) == (4, 1.5)


def test_scaled_losses_recover_from_overflow():
    trainer = small.trainer(precision="float16")
    trainer.scaler._scale = 2.0**40
    trainer.fit(small.loaders()[0], epochs=6)
    assert trainer.scaler.get_scale() < 2.0**40 and trainer.history[-1]["train_loss"] < 1.1
    assert all(np.isfinite(value).all() for value in small.weights(trainer).values())


def test_frozen_batch_norms_keep_their_statistics():
    trainer = small.trainer()
    fc.train.freeze(trainer.model, "1.*")
    before = small.weights(trainer)
    trainer.fit(small.loaders()[0])
    after = small.weights(trainer)
    for key in before:
        assert np.array_equal(before[key], after[key]) == key.startswith("1."), key


def test_auxiliary_classifiers_count_in_training():
    class Two(fc.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.extra = small.network(), fc.nn.Linear(64, 3)

        def forward(self, x):
            y = self.body(x)
            return (y, self.extra(fc.nn.functional.flatten(x, 1))) if self.training else y

    model = Two()
    before = model.extra.weight.data.copy()
    trainer = fc.train.Trainer(model, fc.optim.Adam(model.parameters()))
    trainer.fit(*small.loaders())
    assert not np.array_equal(model.extra.weight.data, before)


@pytest.mark.parametrize("name", ["simt", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_cuda_kernels_train_to_what_the_cpus_do_within_rounding(name, tmp_path):
    if missing := placement.BACKENDS[name].available():
        pytest.skip(missing)
    results = {}
    for device in ("cpu", name):
        with fc.device(device):
            trainer = small.trainer(optimizer=fc.optim.Momentum, lr=0.01, callbacks=[fc.train.Checkpoints(tmp_path)])
            trainer.model.to("cuda" if device == "cuda" else "cpu")
            trainer.fit(*small.loaders(16, 8), epochs=1)
            before = small.weights(trainer)
            trainer.resume(tmp_path / "last.safetensors")
            results[device] = {key: placement.move(value, "cpu") for key, value in small.weights(trainer).items()}
            assert all(type(value) is type(before[key]) for key, value in small.weights(trainer).items())
            assert trainer.history[0]["test_loss"] == pytest.approx(1.1, abs=0.4)
    for key, value in results["cpu"].items():
        np.testing.assert_allclose(results[name][key], value, rtol=1e-4, atol=1e-5, err_msg=key)


def test_what_cannot_be_trained():
    with pytest.raises(fc.TrainingError, match="precision: expected float32, float16 or bfloat16, got 'int8'"):
        small.trainer(precision="int8")
    with pytest.raises(fc.TrainingError, match="schedule_unit: expected epoch or step"):
        small.trainer(schedule_unit="hour")
    with pytest.raises(fc.TrainingError, match="expected epoch for a schedule that watches"):
        small.trainer(schedule=fc.optim.ReduceLROnPlateau, schedule_unit="step")
    with pytest.raises(fc.TrainingError, match="schedule: expected a schedule of the same optimizer"):
        small.trainer(schedule=lambda o: fc.optim.StepLR(fc.optim.SGD(small.network().parameters()), 1))
    with pytest.raises(fc.TrainingError, match="callbacks: expected Callbacks, got str"):
        small.trainer(callbacks=["x"])
    with pytest.raises(fc.TrainingError, match=r"the loss of epoch 1 is (nan|inf)"):
        small.trainer(optimizer=fc.optim.SGD, lr=1e30).fit(small.loaders()[0])
    with pytest.raises(fc.TrainingError, match="loader: expected at least one batch"):
        small.trainer().evaluate([])
