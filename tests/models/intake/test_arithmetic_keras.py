"""What is worked out from a config equals what Keras builds from it: parameters, shapes, names."""

import json

import pytest

from app.models.intake.arithmetic import Bounds, work_out
from app.models.intake.rewrite import rewrite

pytestmark = pytest.mark.recipes
networks = pytest.importorskip("tests.models.intake.networks", reason="needs Keras")
BOUNDS = Bounds(10**9, 10**12)


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_a_network_is_what_its_config_amounts_to(name: str) -> None:
    model = networks.NETWORKS[name]()
    facts = work_out(rewrite(json.loads(model.to_json()), "3.15.1").config, BOUNDS)
    assert facts.parameters == model.count_params()
    assert [tuple(fact["shape"]) for fact in facts.inputs] == [tensor.shape[1:] for tensor in model.inputs]
    assert [tuple(fact["shape"]) for fact in facts.outputs] == [tensor.shape[1:] for tensor in model.outputs]
    assert len({fact["name"] for fact in facts.outputs}) == len(model.outputs)
