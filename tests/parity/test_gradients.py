"""Training without padding has PyTorch's gradients, for every weight of one model of each family."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from .cases import HEADS, make_case
from .compare import load, our_labels

pytestmark = pytest.mark.torch
RELATIVE = 1e-4  # of the largest entry of a weight's gradient
KEY_BIAS = ("key.bias", "k_lin.bias", "attn.k.bias")


@pytest.mark.parametrize("family", HEADS)
def test_gradients_equal_pytorchs(family, tmp_path):
    pytest.importorskip("torch")
    from .reference import gradients

    case = make_case(family, "ForSequenceClassification", 2001)
    expected, shapes = gradients(case)
    model = load(case, shapes, tmp_path)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model({**case.inputs, **our_labels(case)}, training=True).loss)
    slots = model.slots()
    found = tape.gradient(loss, [slot.variable.value for slot in slots])
    compared = set()
    for slot, gradient in zip(slots, found, strict=True):
        name = slot.parameter.file_name
        if gradient is None:  # an embedding table that inputs_embeds goes around
            assert not np.any(expected.get(name, 0)), name
            continue
        got = tf.convert_to_tensor(gradient).numpy()
        wanted = expected[name].T if slot.parameter.kind == "kernel" else expected[name]
        scale = max(np.abs(wanted).max(), 1e-3)  # below that, the sum is nothing but rounding
        if name.endswith(KEY_BIAS):
            # The softmax does not see it, so its gradient is zero and what is computed is rounding, on both sides, of
            # sums over the same terms as the kernel's.
            scale = np.abs(expected[name.replace(".bias", ".weight")]).max()
            assert np.abs(wanted).max() <= RELATIVE * scale, name
        assert np.abs(got - wanted).max() <= RELATIVE * scale, name
        compared.add(name)
    assert len(compared) >= len(slots) - 1
