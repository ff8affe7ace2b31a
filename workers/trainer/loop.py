"""The training function: many updates in one execution.

A step is one update of the weights: a group of up to G = batch_size · gradient_accumulation_steps
rows, whose gradients are taken a batch at a time and added. What is minimised over a group is
    sum(w · loss) / sum(w) + penalties,
whatever the batches, so accumulation gives what the big batch would, also in a last, smaller group.

Two forms of the same loop, chosen from the size of the job alone (so that a resumed job takes the same):
- `graph`: TensorFlow's own executor; ready in half a second.
- `xla`: the whole loop compiled as one program; one to four seconds to compile, then several times faster where the
  network is small and without noise (measured, 20-64-64-10, batch 32, 1 thread: 1,018,000 rows/s against 272,000, and
  35,000 for plain `model.fit`), far slower where it draws random numbers.

Shapes: N rows of the split, S sums.
"""

from typing import Any

import tensorflow as tf

from workers.recipes.built import Built, Varied
from workers.trainer.loop_plan import LoopPlan
from workers.trainer.losses import Objective

SUMS = ("loss", "weight", "rows", "first", "second")


class TrainingFunction:
    """Runs updates over rows in a given order, and sums what the metrics need on the way."""

    def __init__(
        self,
        built: Built,
        optimizer: Any,
        objective: Objective,
        plan: LoopPlan,
        l1: float,
        l2: float,
        seed: int,
        variables: list[Any] | None = None,
    ) -> None:
        """`variables`: those that are trained; None: all that the model lets be."""
        model = built.training_model
        self.model = model
        self.built = built
        self.optimizer = optimizer
        self.objective = objective
        self.from_logits = built.from_logits
        self.plan = plan
        self.seed = seed
        self.l1, self.l2 = l1, l2
        self._variables = model.trainable_variables if variables is None else variables
        self._kernels = [v for v in self._variables if v.name == "kernel" or v.name.endswith("_kernel")]
        compiled = plan.execution == "xla"
        self._run = tf.function(self._steps, jit_compile=compiled, autograph=False, reduce_retracing=not compiled)
        self._run_last = tf.function(self._last_step, jit_compile=True, autograph=False) if compiled else None

    def __call__(
        self, data: tuple[Any, Any, Any], order: Any, rates: Any, first: int, count: int, sums: Any, before: int = 0
    ) -> Any:
        """Run `count` updates from `first` on and return the sums, (S,) float64, added to `sums`.

        `data`: (inputs, target, weight or None) as tensors; `order`: (N,) int64, which rows in which order;
        `rates`: the learning rate of each update of the order; `before`: updates of the job before the order's first.
        """
        full = self.plan.rows // self.plan.group
        last = first + count
        if self._run_last is None:
            return self._run(data, order, rates, tf.constant(before), tf.constant(first), tf.constant(last), sums)
        if first < min(last, full):
            until = tf.constant(min(last, full))
            sums = self._run(data, order, rates, tf.constant(before), tf.constant(first), until, sums)
        return self._run_last(data, order, rates, tf.constant(before), sums) if last > full else sums

    def _steps(self, data: Any, order: Any, rates: Any, before: Any, first: Any, last: Any, sums: Any) -> Any:
        group = self.plan.group
        static = group if self.plan.execution == "xla" else None

        def step(index: Any, total: Any) -> tuple[Any, Any]:
            start = index * group
            if static is None:
                rows = order[start : tf.minimum(start + group, tf.shape(order)[0])]
            else:
                rows = tf.ensure_shape(tf.slice(order, [start], [static]), [static])
            return index + 1, total + self._update(data, rows, rates[index], before + index, static)

        return tf.while_loop(lambda index, _: index < last, step, (first, sums), parallel_iterations=1)[1]

    def _last_step(self, data: Any, order: Any, rates: Any, before: Any, sums: Any) -> Any:
        size = self.plan.rows % self.plan.group
        rows = tf.ensure_shape(order[self.plan.rows - size : self.plan.rows], [size])
        last = self.plan.steps_per_epoch - 1
        return sums + self._update(data, rows, rates[last], before + last, size)

    def _update(self, data: Any, rows: Any, rate: Any, number: Any, size: int | None) -> Any:
        """One update from the group `rows`, the job's update `number`; `size`: how many, where that is known."""
        if self.plan.accumulation == 1:
            gradients, weight, sums = self._gradients(data, rows, number)
        else:
            gradients, weight, sums = self._accumulate(data, rows, number * self.plan.accumulation, size)
        gradients = [tf.math.divide_no_nan(gradient, weight) for gradient in gradients]
        self.optimizer.learning_rate = rate
        self.optimizer.apply(gradients, self._variables)
        return sums

    def _accumulate(self, data: Any, rows: Any, number: Any, size: int | None) -> tuple[list[Any], Any, Any]:
        """Gradients of a group batch by batch; `number`: batches of the job before the group's first."""
        batch = self.plan.batch_size
        zero = ([tf.zeros(v.shape) for v in self._variables], tf.zeros(()), tf.zeros(len(SUMS), tf.float64))
        full = tf.shape(rows)[0] // batch if size is None else tf.constant(size // batch)

        def add(index: Any, total: Any) -> tuple[Any, Any]:
            part = tf.ensure_shape(tf.slice(rows, [index * batch], [batch]), [batch])
            return index + 1, tf.nest.map_structure(tf.add, total, self._gradients(data, part, number + index))

        index, total = tf.while_loop(lambda i, _: i < full, add, (tf.constant(0), zero), parallel_iterations=1)

        def add_rest() -> Any:
            rest = rows[full * batch :] if size is None else rows[size // batch * batch :]
            return tf.nest.map_structure(tf.add, total, self._gradients(data, rest, number + full))

        if size is None:
            total = tf.cond(index * batch < tf.shape(rows)[0], add_rest, lambda: total)
        elif size % batch:
            total = add_rest()
        gradients, weight, sums = total
        return gradients, weight, sums

    def _gradients(self, data: Any, rows: Any, number: Any) -> tuple[list[Any], Any, Any]:
        """Return the gradients of sum(w · loss) + sum(w) · penalties, sum(w), and the sums of the metrics.

        `number` counts the batches of the job: what augmentation draws depends on it and the seed alone, so that
        nothing of it has to be saved.
        """
        inputs, target, weights = data
        batch = self._batch({name: tf.gather(array, rows) for name, array in inputs.items()}, number)
        truth = tf.gather(target, rows)
        with tf.GradientTape() as tape:
            outputs = self.model(batch.inputs, training=True)
            losses = self.objective.rows(truth, outputs, self.from_logits, smooth=True)
            if batch.partner is not None:
                other = self.objective.rows(tf.gather(truth, batch.partner), outputs, self.from_logits, smooth=True)
                losses = batch.share * losses + (1.0 - batch.share) * other
            weight = tf.ones_like(losses) if weights is None else tf.gather(weights, rows)
            weight_sum = tf.reduce_sum(weight)
            loss_sum = tf.reduce_sum(losses * weight)
            goal = loss_sum + weight_sum * self._penalties()
            if hasattr(self.optimizer, "scale_loss"):
                goal = self.optimizer.scale_loss(goal)
        found = tape.gradient(goal, [v.value for v in self._variables], unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in found]
        first, second = self._metric_sums(truth, outputs)
        count = tf.cast(tf.shape(losses)[0], tf.float32)
        sums = tf.cast(tf.stack([loss_sum, weight_sum, count, first, second]), tf.float64)
        return gradients, weight_sum, sums

    def _batch(self, inputs: Any, number: Any) -> Varied:
        """What the model is trained on of a batch of kept rows."""
        if self.built.enter is not None:
            inputs = self.built.enter(inputs)
        if self.built.vary is None:
            return Varied(inputs)
        return self.built.vary(inputs, tf.stack([tf.constant(self.seed, tf.int32), tf.cast(number, tf.int32)]))

    def _penalties(self) -> Any:
        total = tf.add_n([tf.cast(loss, tf.float32) for loss in self.model.losses]) if self.model.losses else 0.0
        for kernel in self._kernels if self.l1 or self.l2 else ():
            value = tf.cast(kernel.value, tf.float32)
            if self.l1:
                total += self.l1 * tf.reduce_sum(tf.abs(value))
            if self.l2:
                total += self.l2 * tf.reduce_sum(value**2)
        return total

    def _metric_sums(self, truth: Any, outputs: Any) -> tuple[Any, Any]:
        """Hits of classes (or labels); or absolute and squared errors of values. Members are averaged first."""
        outputs = tf.cast(outputs, tf.float32)
        members = outputs.shape.rank == 3
        if self.objective.task == "regression":
            value = tf.reduce_mean(outputs, axis=1) if members else outputs
            error = value - tf.reshape(tf.cast(truth, tf.float32), tf.shape(value))
            return tf.reduce_sum(tf.abs(error)), tf.reduce_sum(error**2)
        if self.objective.task == "multilabel":
            chances = tf.sigmoid(outputs) if self.from_logits else outputs
            chances = tf.reduce_mean(chances, axis=1) if members else chances
            hits = tf.equal(chances >= 0.5, tf.cast(truth, tf.float32) >= 0.5)
            return tf.reduce_sum(tf.reduce_mean(tf.cast(hits, tf.float32), axis=-1)), tf.constant(0.0)
        if members:
            outputs = tf.reduce_mean(tf.nn.softmax(outputs) if self.from_logits else outputs, axis=1)
        hits = tf.equal(tf.argmax(outputs, axis=-1, output_type=tf.int32), tf.cast(truth, tf.int32))
        return tf.reduce_sum(tf.cast(hits, tf.float32)), tf.constant(0.0)
