"""Figures against scikit-learn's, intervals against what they promise."""

import time

import numpy as np
import pytest
from sklearn import metrics as sk

from workers.trainer.bootstrap import area_influence, resample_confusion, resample_rows
from workers.trainer.evaluation import OTHERS, Answers, evaluate
from workers.trainer.figures import area_under_curve, confusion_matrix, find_figure


def _chances(rng: np.random.Generator, rows: int, classes: int, truth: np.ndarray, skill: float) -> np.ndarray:
    logits = rng.normal(size=(rows, classes)).round(1)  # rounded: ties must be counted right
    logits[np.arange(rows), truth] += skill
    weights = np.exp(logits)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_figures_of_classes_are_those_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, 500).astype(np.int32)
    given = _chances(rng, 500, classes, truth, 1.0)
    found = evaluate(Answers("classification", given, truth, truth, list(range(classes))), "test", seed=1)
    answer = given.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(truth, answer, zero_division=0)
    area = (
        sk.roc_auc_score(truth, given[:, 1])
        if classes == 2
        else sk.roc_auc_score(truth, given / given.sum(axis=1, keepdims=True), multi_class="ovr", average="macro")
    )
    expected = {
        "accuracy": sk.accuracy_score(truth, answer),
        "precision": precision.mean(),
        "recall": recall.mean(),
        "f1": f1.mean(),
        "roc_auc": area,
        "log_loss": sk.log_loss(truth, given.astype(np.float64)),
    }
    assert {name: figure["value"] for name, figure in found["metrics"].items()} == pytest.approx(expected, rel=1e-5)
    for figure in found["metrics"].values():
        assert figure["low"] < figure["value"] < figure["high"]
    for c in range(classes):
        assert found["per_class"][str(c)] == pytest.approx(
            {"precision": precision[c], "recall": recall[c], "f1": f1[c], "support": support[c]}
        )
    assert found["confusion"]["matrix"] == sk.confusion_matrix(truth, answer).tolist()
    assert found["rows"] == 500


def test_the_baseline_answers_the_shares_of_the_training_rows() -> None:
    train = np.array([0] * 70 + [1] * 30, np.int32)
    truth = np.array([0, 0, 0, 1], np.int32)
    given = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]], np.float32)
    found = evaluate(Answers("classification", given, truth, train, ["no", "yes"]), "test", seed=0)
    assert found["metrics"]["accuracy"]["value"] == 1.0
    assert found["baseline"]["accuracy"] == 0.75
    assert found["baseline"]["roc_auc"] == 0.5
    expected = -(3 * np.log(0.7) + np.log(0.3)) / 4
    assert found["baseline"]["log_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_class_without_rows_leaves_the_area_out_of_the_answer() -> None:
    truth = np.zeros(10, np.int32)
    given = np.tile(np.array([[0.7, 0.3]], np.float32), (10, 1))
    found = evaluate(Answers("classification", given, truth, truth, ["a", "b"]), "test", seed=0)
    assert "roc_auc" not in found["metrics"]
    assert found["metrics"]["f1"]["value"] == 1.0


def test_figures_of_several_labels_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    truth = (rng.random((300, 4)) < 0.4).astype(np.float32)
    given = np.clip(truth * 0.3 + rng.random((300, 4)) * 0.7, 0.001, 0.999).astype(np.float32)
    found = evaluate(Answers("multilabel", given, truth, truth, list("abcd")), "test", seed=1)
    answer = given >= 0.5
    precision, recall, f1, _ = sk.precision_recall_fscore_support(truth, answer, average="macro", zero_division=0)
    expected = {
        "accuracy": sk.accuracy_score(truth, answer),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "roc_auc": sk.roc_auc_score(truth, given, average="macro"),
        "log_loss": np.mean([sk.log_loss(truth[:, c], given[:, c].astype(np.float64)) for c in range(4)]),
    }
    assert {name: figure["value"] for name, figure in found["metrics"].items()} == pytest.approx(expected, rel=1e-5)
    assert set(found["per_class"]) == set("abcd")
    assert found["confusion"] is None


def test_figures_of_values_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    truth = rng.normal(50.0, 10.0, (400, 1))
    given = truth + rng.normal(0.0, 4.0, (400, 1))
    found = evaluate(Answers("regression", given, truth, truth, None), "test", seed=1)
    expected = {
        "mae": sk.mean_absolute_error(truth, given),
        "rmse": sk.root_mean_squared_error(truth, given),
        "r2": sk.r2_score(truth, given),
    }
    assert {name: figure["value"] for name, figure in found["metrics"].items()} == pytest.approx(expected)
    assert found["baseline"]["r2"] == pytest.approx(0.0, abs=1e-12)
    assert found["baseline"]["rmse"] == pytest.approx(truth.std())


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    samples = resample_rows(np.random.default_rng(1), 2000, 1, 0.0, lambda index: values[index].mean(axis=1))
    assert samples.std() == pytest.approx(values.std() / np.sqrt(2000), rel=0.1)


def test_of_very_many_rows_a_part_is_drawn_and_the_interval_keeps_its_width() -> None:
    values = np.random.default_rng(0).normal(size=400_000)
    samples = resample_rows(np.random.default_rng(1), len(values), 20, 7.0, lambda index: values[index].mean(axis=1))
    assert np.median(samples) == pytest.approx(7.0)
    assert samples.std() == pytest.approx(1 / np.sqrt(400_000), rel=0.1)


def test_resampling_a_confusion_matrix_is_resampling_its_rows() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 400)
    answer = np.where(rng.random(400) < 0.7, truth, rng.integers(0, 3, 400))
    by_cells = resample_confusion(np.random.default_rng(3), confusion_matrix(truth, answer, 3))
    by_rows = np.array(
        [
            sk.f1_score(truth[index], answer[index], average="macro")
            for index in np.random.default_rng(4).integers(0, 400, (400, 400))
        ]
    )
    assert by_cells["f1"].mean() == pytest.approx(by_rows.mean(), abs=0.005)
    assert by_cells["f1"].std() == pytest.approx(by_rows.std(), rel=0.15)


def test_the_interval_of_an_area_is_that_of_resampled_areas() -> None:
    rng = np.random.default_rng(11)
    truth = rng.random(150) < 0.3
    score = (truth * 0.8 + rng.normal(size=150)).round(1)
    influence = area_influence(truth, score)
    assert influence.mean() == pytest.approx(0.0, abs=1e-12)
    drawn = np.random.default_rng(12).integers(0, 150, (500, 150))
    by_rows = np.array([sk.roc_auc_score(truth[index], score[index]) for index in drawn])
    by_influence = sk.roc_auc_score(truth, score) + influence[drawn].mean(axis=1)
    assert by_influence.std() == pytest.approx(by_rows.std(), rel=0.1)
    assert np.corrcoef(by_rows, by_influence)[0, 1] > 0.98


def test_the_same_seed_gives_the_same_intervals() -> None:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 2, 100).astype(np.int32)
    answers = Answers("classification", _chances(rng, 100, 2, truth, 1.0), truth, truth, [False, True])
    assert evaluate(answers, "test", seed=3) == evaluate(answers, "test", seed=3)
    assert evaluate(answers, "test", seed=3) != evaluate(answers, "test", seed=4)
    assert set(evaluate(answers, "test", seed=3)["per_class"]) == {"false", "true"}


def test_rare_labels_share_a_row_of_a_large_confusion_matrix() -> None:
    rng = np.random.default_rng(9)
    truth = np.minimum(rng.geometric(0.05, 5000) - 1, 79).astype(np.int32)
    given = _chances(rng, 5000, 80, truth, 3.0)
    found = evaluate(Answers("classification", given, truth, truth, list(range(80))), "test", seed=0)
    assert len(found["confusion"]["labels"]) == 50
    assert found["confusion"]["labels"][-1] == OTHERS
    assert np.sum(found["confusion"]["matrix"]) == 5000


def test_an_area_counts_ties_half() -> None:
    positive = np.array([True, True, False, False])
    score = np.array([0.5, 0.9, 0.5, 0.1])
    assert area_under_curve(positive, score) == sk.roc_auc_score(positive, score) == 0.875


def test_metrics_go_by_the_names_of_the_field() -> None:
    assert find_figure("root_mean_squared_error", "regression")[0] == "rmse"
    truth, chances = np.array([2, 0]), np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4]])
    assert find_figure("top_3_accuracy", "classification")[1](truth, chances) == 0.5
    with pytest.raises(ValueError, match="regression has no metric 'accuracy'"):
        find_figure("accuracy", "regression")


def test_an_evaluation_of_many_rows_takes_a_few_seconds_at_most() -> None:
    rng = np.random.default_rng(10)
    truth = rng.integers(0, 10, 20_000).astype(np.int32)
    answers = Answers("classification", _chances(rng, 20_000, 10, truth, 1.0), truth, truth, list(range(10)))
    started = time.process_time()
    evaluate(answers, "test", seed=0)
    assert time.process_time() - started < 8.0
