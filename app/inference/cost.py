"""What a model takes for a batch, measured when it is loaded, and how large a batch is worth while."""

from dataclasses import dataclass

from app.inference.runtime import Model

# Turning a checked row into inputs and outputs into an answer, besides the model itself.
ROW_SECONDS = 5e-6
# Batches worth waiting for: a further row must cost less than this share of a first.
COMPANY_PAYS = 0.5
_MEASURED_SECONDS = 20e-3
# Longer batches would keep rows waiting that another core could take in the meantime.
BATCH_SECONDS = 50e-3
LONELY_BATCH_SECONDS = 10e-3
# Tokens of a text where a cost is measured: a sentence or two.
TEXT_TOKENS = 32
# Of a free axis of an uploaded model: the length at which its ONNX form was compared with Keras.
TENSOR_LENGTH = 8


@dataclass(frozen=True)
class Cost:
    """What a model takes for a batch, seconds, as measured when it was loaded."""

    first_row: float
    further_row: float

    def seconds(self, rows: int) -> float:
        """Return the expected seconds of a batch of `rows` rows."""
        return self.first_row + (rows - 1) * self.further_row

    @property
    def company_pays(self) -> bool:
        """Whether several rows together are much cheaper than one after another."""
        return self.further_row < COMPANY_PAYS * self.first_row

    def batch_rows(self, most: int) -> int:
        """Return how many rows, at most `most`, make a batch that is worth while and not too long."""
        seconds = BATCH_SECONDS if self.company_pays else LONELY_BATCH_SECONDS
        return max(1, min(most, int(seconds / self.further_row)))


def measure_cost(model: Model, most_rows: int, free_length: int = TEXT_TOKENS) -> Cost:
    """Run the model on zeros: one row, and as many rows as take about 20 ms. Free axes have `free_length`."""
    first = model.measure_seconds(1, free_length)
    rows = max(1, min(most_rows, int(_MEASURED_SECONDS / max(first, 1e-7))))
    further = (model.measure_seconds(rows, free_length) - first) / (rows - 1) if rows > 1 else first
    return Cost(first + ROW_SECONDS, max(further, 0.0) + ROW_SECONDS)
