"""All pictures of a study."""

from __future__ import annotations

from collections.abc import Iterator

from limae_jax.analysis.aggregates import aggregate, masking_rules, steps_to_goals
from limae_jax.analysis.curves import hidden, map_curves, overview
from limae_jax.analysis.labels import file_names
from limae_jax.analysis.pictures import Look, Picture
from limae_jax.analysis.summary import Outcomes


def all_pictures(outcomes: Outcomes, look: Look) -> Iterator[Picture]:
    """Yields the pictures that the study has data for, section by section."""
    study = outcomes.study
    files = file_names(study.maps)
    if len(study.maps) > 1:
        yield from aggregate(outcomes, look)
        yield from overview(outcomes, look)
    for map_name in study.maps:
        yield map_curves(outcomes, map_name, look, files[map_name])
        yield from steps_to_goals(outcomes, map_name, look, files[map_name])
        yield from hidden(outcomes, map_name, files[map_name])
    yield from masking_rules(outcomes, look)
