"""Metrics against loops over images."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastconv.nn.module import numpy_dtype
from fastconv.train.metrics import Running, Scores


def batches(dtype=np.float32):
    generator = np.random.default_rng(0)
    for n in (7, 1, 12):
        yield (
            np.asarray(generator.random(), np.float32),
            generator.integers(-3, 4, (n, 8)).astype(dtype),  # with equal logits
            generator.integers(0, 8, n),
        )


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_scores_are_those_of_a_loop(dtype):
    scores, running = Scores(8), Running()
    confusion, first, fifth, loss, count = np.zeros((8, 8), np.int64), 0, 0, 0.0, 0
    for mean, logits, labels in batches(numpy_dtype(dtype)):
        scores.update(mean, logits, labels)
        running.update(mean, logits, labels)
        for row, label in zip(logits.astype(np.float32), labels, strict=True):
            order = sorted(range(8), key=lambda c: (-row[c], c))
            confusion[label, order[0]] += 1
            first += order[0] == label
            fifth += label in order[:5]
            loss, count = loss + float(mean), count + 1
    result = scores.result()
    np.testing.assert_array_equal(result.confusion, confusion)
    assert (result.count, result.top1, result.top5) == (count, first / count, fifth / count)
    assert result.loss == pytest.approx(loss / count, rel=1e-12)
    assert (running.accuracy, running.loss) == (result.top1, pytest.approx(result.loss, rel=1e-12))
    recalls = [confusion[c, c] / confusion[c].sum() if confusion[c].any() else math.nan for c in range(8)]
    np.testing.assert_array_equal(result.recalls(), recalls)
    assert "top-1" in str(result)


def test_an_answer_that_is_no_number_is_wrong():
    scores = Scores(6)
    scores.update(np.float32(1), np.full((2, 6), math.nan, np.float32), np.array([0, 5]))
    assert (scores.result().top1, scores.result().top5) == (0, 0)


def test_running_sums_go_on_bit_for_bit():
    whole, first, second = Running(), Running(), Running()
    for i, batch in enumerate(batches()):
        whole.update(*batch)
        if i == 1:
            second.load_state_dict(first.state_dict())
        (first if i < 1 else second).update(*batch)
    assert second.state_dict() == whole.state_dict()
    assert Running().loss == 0 and Running().accuracy == 0
