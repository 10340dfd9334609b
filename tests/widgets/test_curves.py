"""Curves: every seed's log, and what became of the captions."""

from povid_lib.widgets.curves import curves_spec


def entry(step, chosen, rejected, **more):
    row = {"step": step, "loss": 0.69 - 0.001 * step, "logps/chosen": -7.0 - step, "logps/rejected": -14.0 + step}
    return row | {"rewards/chosen": chosen, "rewards/rejected": rejected, "rewards/accuracies": 0.5} | more


LOG = [entry(2, 0.0, 0.0), entry(4, 0.02, -0.03), {"train_runtime": 3.0, "step": 4}]
NOISED = [row | {"rewards/noised": -0.01, "logps/noised": -5.0, "noised/differing": 0.2} for row in LOG[:2]]


def tuned():
    def seed(value):
        return {"typical": {"chair_s": {"value": value}, "recall": {"value": 0.9}}}

    sft = [{"step": 2, "loss": 0.3, "logps/chosen": -7.0}, {"step": 4, "loss": 0.1, "logps/chosen": -3.0}]
    return {
        "before": seed(0.5),
        "seeds": {"text": [seed(0.2), seed(0.3)], "sft": [seed(0.1)], "both": [seed(0.1)]},
        "curves": {"text": [LOG, [entry(2, 0.0, 0.0), entry(4, 0.04, 0.01)]], "sft": [sft], "both": [NOISED]},
    }


def test_the_spec_holds_every_seed_and_what_a_method_has_no_reference_for_is_left_out():
    coefficients = {"chosen": 0.1, "rejected": 0.05, "noised": 0.05}
    spec = curves_spec(tuned(), {"text": "T", "sft": "S", "both": "B"}, {"text": coefficients, "both": coefficients})
    text, sft, both = spec["methods"]
    assert spec["quantities"] == [
        "log-ratio to the reference (nats)",
        "log-probability as logged (nats)",
        "share of pairs in order",
        "loss",
    ]
    assert text["series"]["log-ratio to the reference (nats)"] == {
        "chosen": [[0, 0.2], [0, 0.4]],
        "rejected": [[0, -0.6], [0, 0.2]],
    }
    assert both["series"]["log-ratio to the reference (nats)"]["noised"] == [[-0.2, -0.2]]
    assert sft["series"] == {
        "log-probability as logged (nats)": {"chosen": [[-7.0, -3.0]]},
        "loss": {"loss": [[0.3, 0.1]]},
    }
    assert (
        text["ranges"]["log-ratio to the reference (nats)"]
        == both["ranges"]["log-ratio to the reference (nats)"]
        == [-0.6, 0.4]
    )
    assert sft["ranges"]["loss"] == [0.1, 0.3]  # not squeezed into one scale with a preference loss
    assert text["after"] == {"chair_s": 0.25, "recall": 0.9}
    assert spec["before"]["chair_s"] == 0.5
    assert text["steps"] == [2, 4]
