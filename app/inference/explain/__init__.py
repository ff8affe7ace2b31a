"""Why a model says what it says: how much of a prediction is due to each column, element or pixel."""
