"""A spec that is sound by itself is tried: a few samples are drawn, and the share that its condition leaves."""

from __future__ import annotations

from collections.abc import Iterator

from m3di.latents.conditions import PATH
from m3di.latents.problems import Problem
from m3di.latents.rejection import MIN_SHARE, N_MEASURED
from m3di.latents.sampling import sample, share_accepted
from m3di.latents.spec import Spec
from m3di.latents.supports import NoValueError
from m3di.latents.yaml_text import Path

WEAKER = "take a weaker one, or let mechanisms bring the factors nearer to it"
N_DRAWN = 512  # samples on which a spec is tried
N_FRAMES = 8  # and frames of them


def trial_problems(spec: Spec) -> Iterator[Problem]:
    """What shows on samples only: a parameter that varies has no value for parents that do meet."""
    mechanisms = [factor.mechanism for factor in spec.factors.values()]
    mechanisms += [each.use for name in spec.factors for each in spec.replaced(name)]
    mechanisms += [use.mechanism for view in spec.views.values() for use in view.factors.values() if use.mechanism]
    varying = any((found := spec.mechanism(use.name)) is not None and found.varying for use in mechanisms)
    try:
        share = share_accepted(spec) if spec.given is not None else 1.0
        if share < MIN_SHARE:
            rare = f"fewer than {MIN_SHARE:.1%} of draws fulfil the condition: each sample would take thousands"
            what = rare if share else "no draw fulfils the condition"
            got = f"{round(share * N_MEASURED)} of {N_MEASURED:,} draws fulfil it"
            yield Problem(PATH, what, got, "a condition that more draws fulfil", WEAKER)
        elif varying or spec.given is not None:
            sample(_shortened(spec), "train", N_DRAWN)
    except NoValueError as error:
        details = error.details
        name = next((name for name in spec.factors if repr(name) in details["where"]), None)
        path: Path = PATH if name is None else ("factors", name)
        cases = () if name is None else tuple(each.path for each in spec.replaced(name))
        what = f"{error.what}: {details['where']}"
        yield Problem(path, what, details["got"], details["expected"], details.get("next"), related=cases)


def _shortened(spec: Spec) -> Spec:
    """A spec whose frames are samples, with few frames: what goes wrong shows in them, in less time."""
    sequence = spec.sequence
    if sequence is None or not spec.is_chain:
        return spec
    few = {"length": min(sequence.length, N_FRAMES), "burn_in": min(sequence.burn_in, N_FRAMES)}
    return spec.model_copy(update={"sequence": sequence.model_copy(update=few)})
