"""The body of `POST /v1/jobs` (API.md §4): every field with its default, range and unit."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.core.settings import QUEUE_NAME

ColumnName = Annotated[str, Field(min_length=1, max_length=255)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
MODEL_NAME = r"^[a-z][a-z0-9._-]{0,62}$"


class Request(BaseModel):
    """Base of request bodies: unknown fields are errors, nothing is coerced between types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Columns(Request):
    """Roles of columns. Inputs default to every column that has no other role."""

    input: list[ColumnName] | None = None
    exclude: list[ColumnName] = Field(default_factory=list)
    target: ColumnName | list[ColumnName] | None = None
    weight: ColumnName | None = Field(None, description="Column of row weights, numbers ≥ 0.")
    group: ColumnName | None = Field(None, description="Rows of one group stay in one split.")
    time: ColumnName | None = Field(None, description="The latest rows by this column are the test split.")
    id: ColumnName | None = Field(None, description="Kept in batch predictions, never an input.")


class Cleaning(Request):
    """What is removed from, or filled into, the rows before training."""

    drop_duplicates: bool | Literal["auto"] = Field(
        "auto",
        description="Remove rows equal to an earlier row before they are split; auto: unless most rows are such, "
        "or one in twenty where the test set came as such. "
        "Validation and test sets that came as such are left as they are.",
    )
    drop_missing_target: bool = Field(True, description="Remove rows without a target.")
    strip: bool = Field(True, description="Remove white space around text values.")
    lowercase: bool = False
    impute: Literal["median", "mean", "zero", "most_frequent"] = Field(
        "median", description="What stands for a missing number, from the training split."
    )
    drop_constant: bool = Field(True, description="Leave out inputs with one value in the training split.")
    drop_identifiers: bool = Field(True, description="Leave out inputs that only number or name the rows.")


class Split(Request):
    """Shares of rows, and how they are drawn."""

    train: Share = 0.8
    validation: Share = 0.1
    test: Share = 0.1
    method: Literal["auto", "random", "stratified", "group", "time", "tail"] = "auto"
    seed: int = Field(7, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _shares(self) -> "Split":
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        if self.train <= 0:
            raise ValueError("train must be above 0")
        return self


class Numbers(Request):
    """How numbers are scaled, from the training split."""

    scaling: Literal["auto", "standard", "quantile", "none"] = Field(
        "auto",
        description="standard: mean 0 and deviation 1; quantile: normal scores of the ranks; auto: the recipe's.",
    )


class Categories(Request):
    """Which values of a category are told apart; all others are one, 'rare or unknown'."""

    min_count: int | None = Field(
        None, ge=1, le=1_000_000, description="Training rows that a value needs. Default: by the number of rows."
    )
    max_size: int = Field(1000, ge=1, le=100_000, description="Most values of a column that are told apart.")


class Preprocessing(Request):
    """Cleaning, splitting, and how columns become numbers."""

    clean: Cleaning = Field(default_factory=Cleaning)
    split: Split = Field(default_factory=Split)
    numbers: Numbers = Field(default_factory=Numbers)
    categories: Categories = Field(default_factory=Categories)


OptimizerName = Literal[
    "sgd", "adagrad", "rmsprop", "adam", "adamw", "adadelta", "adamax",
    "nadam", "lion", "adafactor", "ftrl", "lamb", "muon",
]  # fmt: skip
ScheduleName = Literal["constant", "linear", "cosine", "exponential", "step", "slanted-triangular"]


class Optimizer(Request):
    """An optimizer by name; a field that the named one does not have is an error."""

    name: OptimizerName = "adamw"
    learning_rate: float | None = Field(None, gt=0, le=100, description="Default: the recipe's for this optimizer.")
    weight_decay: float | None = Field(None, ge=0, le=10)
    momentum: float | None = Field(None, ge=0, lt=1, description="sgd, rmsprop.")
    nesterov: bool | None = Field(None, description="sgd.")
    beta_1: float | None = Field(None, ge=0, lt=1)
    beta_2: float | None = Field(None, ge=0, lt=1)
    rho: float | None = Field(None, ge=0, lt=1, description="rmsprop, adadelta.")
    epsilon: float | None = Field(None, gt=0, le=1)
    amsgrad: bool | None = Field(None, description="adam, adamw.")
    centered: bool | None = Field(None, description="rmsprop.")
    initial_accumulator_value: float | None = Field(None, ge=0, description="adagrad, ftrl.")
    clipnorm: float | None = Field(None, gt=0, description="Largest norm of one variable's gradient.")
    global_clipnorm: float | None = Field(None, gt=0, description="Largest norm of all gradients together.")
    clipvalue: float | None = Field(None, gt=0, description="Largest absolute value in a gradient.")
    ema_momentum: float | None = Field(None, gt=0, lt=1, description="Keep and use a moving average of weights.")


class Schedule(Request):
    """How the learning rate goes over the steps of the job."""

    name: ScheduleName = "constant"
    warmup_ratio: float = Field(0.0, ge=0, lt=1, description="Share of all steps in which the rate rises from 0.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps instead of a share.")
    end_ratio: float | None = Field(None, ge=0, le=1, description="Last rate as a share of the first (linear, cosine).")
    decay_rate: float | None = Field(None, gt=0, lt=1, description="Factor of one decay (exponential, step).")
    decay_epochs: float | None = Field(None, gt=0, description="Epochs between two decays (exponential, step).")


class Regularization(Request):
    """Penalties and noise against overfitting. None: the recipe's default."""

    l1: float = Field(0.0, ge=0, le=10)
    l2: float = Field(0.0, ge=0, le=10)
    dropout: float | None = Field(None, ge=0, lt=1)
    label_smoothing: float | None = Field(None, ge=0, lt=1)


class EarlyStopping(Request):
    """Stop when `monitor` has not improved by `min_delta` for `patience` epochs."""

    monitor: str = Field("val_loss", max_length=64)
    patience: int = Field(16, ge=0, le=10_000)
    min_delta: float = Field(0.0, ge=0)
    restore_best: bool = True


class Training(Request):
    """How the model is fitted. None: the recipe's default; `resolved` in the job says which."""

    epochs: int | None = Field(None, ge=1, le=100_000)
    batch_size: int | None = Field(None, ge=1, le=1_000_000, description="Rows of one step.")
    gradient_accumulation_steps: int = Field(1, ge=1, le=4096, description="Batches whose gradients are averaged.")
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    loss: str = Field("auto", max_length=64)
    metrics: list[Annotated[str, Field(max_length=64)]] | None = None
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(ge=0)]] | None = None
    regularization: Regularization = Field(default_factory=Regularization)
    early_stopping: EarlyStopping | Literal[False] | None = Field(None, description="false: none.")
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16", "auto"] = "float32"
    seed: int = Field(7, ge=0, lt=2**31)
    max_seconds: float | None = Field(None, gt=0, le=30 * 86_400, description="Time budget of training, seconds.")


class DatasetSplits(Request):
    """A data set for each split."""

    train: str
    validation: str | None = None
    test: str | None = None


class Queueing(Request):
    """What a job of any kind may say: how it is queued, and what its owner calls it."""

    metadata: dict[Annotated[str, Field(max_length=64)], JsonValue] = Field(default_factory=dict, max_length=64)
    priority: int = Field(0, ge=-100, le=100, description="Higher runs first.")
    queue: str = Field("default", pattern=f"^{QUEUE_NAME}$", description="Only workers that serve it take the job.")
    max_failures: int | None = Field(None, ge=1, le=100)


class JobRequest(Queueing):
    """A training job."""

    kind: Literal["train"] = "train"
    recipe: str = Field(max_length=64)
    dataset: str | DatasetSplits
    columns: Columns = Field(default_factory=Columns)
    preprocessing: Preprocessing = Field(default_factory=Preprocessing)
    params: dict[str, JsonValue] = Field(default_factory=dict, description="The recipe's own; see GET /v1/recipes.")
    training: Training = Field(default_factory=Training)
    model: str | None = Field(None, pattern=MODEL_NAME, description="Name of the model that is published.")


def plain(model: BaseModel) -> dict[str, Any]:
    """Return a request as plain data, ready for JSON."""
    return model.model_dump(mode="json")
