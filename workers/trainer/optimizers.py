"""Optimizers by name, from the resolved request."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_CLASSES: dict[str, Any] = {
    "sgd": keras.optimizers.SGD,
    "adagrad": keras.optimizers.Adagrad,
    "rmsprop": keras.optimizers.RMSprop,
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adadelta": keras.optimizers.Adadelta,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "lion": keras.optimizers.Lion,
    "adafactor": keras.optimizers.Adafactor,
    "ftrl": keras.optimizers.Ftrl,
    "lamb": keras.optimizers.Lamb,
    "muon": keras.optimizers.Muon,
}
_EVERY = {"learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue"}
_OWN: dict[str, set[str]] = {
    "sgd": {"momentum", "nesterov"},
    "adagrad": {"epsilon", "initial_accumulator_value"},
    "rmsprop": {"rho", "momentum", "epsilon", "centered"},
    "adam": {"beta_1", "beta_2", "epsilon", "amsgrad"},
    "adamw": {"beta_1", "beta_2", "epsilon", "amsgrad"},
    "adadelta": {"rho", "epsilon"},
    "adamax": {"beta_1", "beta_2", "epsilon"},
    "nadam": {"beta_1", "beta_2", "epsilon"},
    "lion": {"beta_1", "beta_2"},
    "adafactor": set(),
    "ftrl": {"initial_accumulator_value"},
    "lamb": {"beta_1", "beta_2", "epsilon"},
    "muon": {"momentum", "nesterov", "beta_1", "beta_2", "epsilon"},
}
# Muon calls its own first and second moments' decays so; the request has one name for each idea.
_MUON_NAMES = {"beta_1": "adam_beta_1", "beta_2": "adam_beta_2"}
# Pulling a bias, a scale or a shift of a normalisation towards zero regularises nothing (Loshchilov & Hutter's
# experiments and later practice leave them out).
_NOT_DECAYED = ["bias", "gamma", "beta", "inner_scale", "outer_scale"]


def build_optimizer(config: dict[str, Any], variables: list[Any]) -> Any:
    """Build the optimizer of a resolved `training.optimizer` for `variables`.

    Raises ValueError for a name that there is not, or for a field that the optimizer has not.
    """
    name = str(config["name"])
    if name not in _CLASSES:
        raise ValueError(f"training.optimizer.name: there is no {name!r}")
    given = {key: value for key, value in config.items() if key != "name" and value is not None}
    ema_momentum = given.pop("ema_momentum", None)
    if unknown := sorted(set(given) - _EVERY - _OWN[name]):
        raise ValueError(f"training.optimizer: {name} has no {', '.join(unknown)}")
    if name == "muon":
        given = {_MUON_NAMES.get(key, key): value for key, value in given.items()}
    if ema_momentum is not None:
        given |= {"use_ema": True, "ema_momentum": float(ema_momentum)}
    optimizer = _CLASSES[name](**given)
    if given.get("weight_decay"):
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    optimizer.build(variables)
    if name == "ftrl":
        _start_ftrl_at(optimizer, variables)
    return optimizer


def _start_ftrl_at(optimizer: Any, variables: list[Any]) -> None:
    """Give FTRL the first weights: it computes weights from its sums alone, and would begin a network at zero.

    McMahan et al. (2013), algorithm 1: w = −z / (√n / rate), so z = −w · √n / rate.
    """
    linears = [variable for variable in optimizer.variables if variable.name.endswith("linear")]
    scale = float(optimizer.initial_accumulator_value) ** 0.5 / float(optimizer.learning_rate)
    for linear, variable in zip(linears, variables, strict=True):
        linear.assign(-scale * variable.value)


class TwoRates:
    """Two optimizers of one kind: the second trains `slow` variables at `ratio` times the learning rate.

    So a share of the rate is exactly that with every optimizer: also where the size of the gradient cancels out (Adam),
    where weights are computed from sums (FTRL), and for the decay of weights. A global norm is clipped over both.
    """

    def __init__(self, config: dict[str, Any], variables: Sequence[Any], slow: Sequence[Any], ratio: float) -> None:
        """`config`: as `build_optimizer` has it; `variables`: all that are trained."""
        self._among = {id(variable) for variable in slow}
        self.fast_variables = [variable for variable in variables if id(variable) not in self._among]
        slow_variables = [variable for variable in variables if id(variable) in self._among]
        self._global_clipnorm = config.get("global_clipnorm")
        own = {**config, "global_clipnorm": None}
        self._fast = build_optimizer(own, self.fast_variables)
        self._slow = build_optimizer({**own, "learning_rate": config["learning_rate"] * ratio}, slow_variables)
        self._parts = [(self._fast, self.fast_variables), (self._slow, slow_variables)]
        self._ratio = ratio

    @property
    def variables(self) -> list[Any]:
        """The state of both."""
        return [*self._fast.variables, *self._slow.variables]

    @property
    def use_ema(self) -> bool:
        """Whether moving averages of the weights are kept."""
        return bool(self._fast.use_ema)

    @property
    def learning_rate(self) -> Any:
        """The rate of the first."""
        return self._fast.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        self._fast.learning_rate = rate
        self._slow.learning_rate = rate * self._ratio

    def apply(self, gradients: list[Any], variables: list[Any]) -> None:
        """Update the variables, either all or only those that are not slow."""
        if self._global_clipnorm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._global_clipnorm)
        pairs = list(zip(gradients, variables, strict=True))
        for is_slow, (optimizer, own) in zip((False, True), self._parts, strict=True):
            given = [gradient for gradient, variable in pairs if (id(variable) in self._among) == is_slow]
            if given:
                optimizer.apply(given, own)

    def finalize_variable_values(self, variables: list[Any]) -> None:
        """Put the averages in the weights' place; of what was not updated yet there are none."""
        del variables
        for optimizer, own in self._parts:
            if own and int(optimizer.iterations.numpy()):
                optimizer.finalize_variable_values(own)
