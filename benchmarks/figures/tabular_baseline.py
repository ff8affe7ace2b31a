"""What the defaults are held against: scikit-learn's histogram gradient boosting with its own defaults."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder

from app.datasets.stored import StoredDataset

TEXTUAL = ("category", "text")


def predict_baseline(train: StoredDataset, test: StoredDataset, target: str, exclude: tuple[str, ...]) -> NDArray[Any]:
    """Fit on all rows of `train`, answer for those of `test`.

    Numbers as they are, with their gaps; categories as ordinal codes, unknown ones as a gap.
    """
    inputs = [column for column in train.columns if column.name != target and column.name not in exclude]
    parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
    rows, others = train.read(), test.read()
    for column in inputs:
        first, second = rows[column.name][:, None], others[column.name][:, None]
        if column.type in TEXTUAL:
            encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
            first = encoder.fit_transform(first.astype(object))
            second = encoder.transform(second.astype(object))
        parts.append((first.astype(np.float64), second.astype(np.float64)))
    truth = rows[target]
    is_class = train.column(target).type in TEXTUAL or len(np.unique(truth.astype(str))) == 2
    model = (
        HistGradientBoostingClassifier(random_state=0) if is_class else HistGradientBoostingRegressor(random_state=0)
    )
    model.fit(np.hstack([part[0] for part in parts]), truth)
    answers: NDArray[Any] = model.predict(np.hstack([part[1] for part in parts]))
    return answers
