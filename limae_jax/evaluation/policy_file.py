"""Policy files: one team's named parameters and metadata in safetensors format, which other tools can read.

All metadata are text. `config` holds the run's settings as in config.yaml, without the run's name and directory.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from limae_jax.checks import one_line
from limae_jax.config import TrainConfig
from limae_jax.config.text import from_yaml, to_yaml
from limae_jax.errors import InputError
from limae_jax.systems.base import Params
from limae_jax.types import EnvSpec
from limae_jax.version import __version__

SUFFIX = ".safetensors"
FORMAT, FORMAT_VERSION = "limae_jax policy", "1"


class PolicyFile(NamedTuple):
    """The contents of a policy file.

    Attributes:
        config: settings of the run.
        metadata: all metadata, by name.
        arrays: parameters by dotted name.
    """

    config: TrainConfig
    metadata: dict[str, str]
    arrays: dict[str, np.ndarray]

    def params_like(self, template: Params) -> Params:
        """Returns the parameters as a tree like `template`, whose leaves are arrays or `jax.ShapeDtypeStruct`.

        Raises:
            KeyError, ValueError: names, shapes or dtypes differ from the template's.
        """
        wanted, structure = jax.tree_util.tree_flatten_with_path(template)
        names = [_dotted(path) for path, _ in wanted]
        if set(names) != set(self.arrays):
            raise KeyError(", ".join(sorted(set(names) ^ set(self.arrays))[:2]))
        for name, (_, leaf) in zip(names, wanted, strict=True):
            found = self.arrays[name]
            if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
                raise ValueError(f"{name} is {found.dtype}{list(found.shape)}, not {leaf.dtype}{list(leaf.shape)}")
        return jax.tree.unflatten(structure, [jax.numpy.asarray(self.arrays[name]) for name in names])


def write_policy_file(
    path: Path, config: TrainConfig, spec: EnvSpec, params: Params, about: dict[str, str | int | bool]
) -> None:
    """Writes a policy file atomically.

    Args:
        path: path ending in .safetensors; an existing file is replaced.
        config: settings of the run.
        spec: spec of the environment.
        params: parameters of one seed.
        about: further metadata.

    Raises:
        InputError: the file cannot be written.
    """
    nowhere = replace(config, run=replace(config.run, name=None, dir=None))
    sizes = {name: getattr(spec, name) for name in ("num_agents", "obs_size", "state_size", "num_actions")}
    facts: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "limae_jax": __version__,
        "system": config.system.name,
        "env": config.env.name,
        "scenario": config.env.scenario,
        **sizes,
        "episode_limit": spec.episode_limit,
        **about,
        "config": to_yaml(nowhere),
    }
    metadata = {name: value if isinstance(value, str) else json.dumps(value) for name, value in facts.items()}
    leaves = jax.tree_util.tree_leaves_with_path(params)
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        save_file({_dotted(key): np.asarray(leaf) for key, leaf in leaves}, temporary, metadata)
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--out={path}: cannot be written ({one_line(reason)}); choose another file") from None


def read_policy_file(path: Path) -> PolicyFile:
    """Reads a file of `write_policy_file`.

    Raises:
        InputError: the file is damaged or not a policy file.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); export the policy again") from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: is not a limae_jax policy; make one with `limae-jax export`")
    if metadata.get("format_version") != FORMAT_VERSION:
        version = one_line(metadata.get("format_version"))
        raise InputError(
            f"{path}: has format version {version}, but this limae_jax reads {FORMAT_VERSION}; use the limae_jax that"
            f" wrote it ({one_line(metadata.get('limae_jax'))})"
        )
    try:
        config = from_yaml(metadata.get("config", ""))
    except InputError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
    return PolicyFile(config, metadata, arrays)


def _dotted(path: jax.tree_util.KeyPath) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")
