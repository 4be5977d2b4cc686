"""Arrows between the packages point one way, and some constructs stay out."""

import ast
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

import limae_jax

PACKAGE = Path(limae_jax.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
CLI = ("cli", "cli_arguments", "listing", "explain", "doctor", "__main__")
# What looks at finished runs; nothing that makes them knows of it.
ABOVE = ("analysis", *CLI)

# Part of the package -> parts that it must know nothing of.
FORBIDDEN = {
    "losses": ("networks", "replay", "systems", "training", "metrics", "config", "compose", *ABOVE),
    "networks": ("replay", "systems", "training", "metrics", "compose", *ABOVE),
    "masking": ("replay", "systems", "training", "metrics", "compose", *ABOVE),
    "environments": ("networks", "losses", "replay", "systems", "training", "metrics", "compose", *ABOVE),
    "replay": ("networks", "losses", "systems", "training", "metrics", "compose", *ABOVE),
    "systems": ("replay", "training", "metrics", "compose", *ABOVE),
    "metrics": ("systems", "training", "compose", *ABOVE),
    "training": ABOVE,
    "analysis": CLI,
}

# Outside library -> the only places that import it.
HOMES = {
    "jaxmarl": ("environments/",),
    "flashbax": ("replay/",),
    "orbax": ("training/checkpoint",),
    "tensorstore": ("training/checkpoint",),
    "hydra": ("compose.py", "overrides.py"),
    "omegaconf": ("compose.py",),
    "tensorboardX": ("metrics/",),
    "wandb": ("metrics/",),
    "submitit": ("training/cluster.py",),
    "safetensors": ("training/policy_file.py",),
    "filelock": ("training/lock.py",),
    "matplotlib": ("analysis/",),
    "PIL": ("analysis/",),
    "smac": ("environments/smac/",),
    "pysc2": ("environments/smac/",),
    "s2clientprotocol": ("environments/smac/",),
    "absl": ("environments/smac/",),
}

# Files that the command line imports before it has checked the input, and what they must not import at the top.
LIGHT = (
    "cli.py",
    "cli_arguments.py",
    "listing.py",
    "compose.py",
    "overrides.py",
    "config.py",
    "config_file.py",
    "env_config.py",
    "checks.py",
    "errors.py",
)
LIGHT += ("registry.py", "__init__.py", "environments/__init__.py", "environments/scenarios.py", "systems/__init__.py")
LIGHT += ("systems/names.py", "replay/__init__.py", "replay/memory.py", "mae_config.py", "masking/__init__.py")
LIGHT += ("masking/names.py", "doctor.py", "environments/smac/__init__.py", "environments/smac/installation.py")
LIGHT += (
    "environments/smac/maps.py",
    "environments/smac/settings.py",
    "environments/fitting.py",
    "environments/matrix_games.py",
)
LIGHT += (
    "backend.py",
    "interrupts.py",
    "streams.py",
    "metrics/__init__.py",
    "metrics/status.py",
    "metrics/tables.py",
    "metrics/terminal.py",
    "metrics/waiting.py",
    "grid.py",
    "sweep_config.py",
    "explain.py",
    "traced_settings.py",
)
LIGHT += ("analysis/__init__.py", "analysis/render.py")
LIGHT += ("stored_yaml.py", "run_records.py", "metrics/jsonl.py", "metrics/schema.py")
LIGHT += ("training/checkpoint_files.py", "training/checkpoint_prune.py")
# A report is made without jax, so that it is there at once; numpy it needs.
REPORT = ("labels", "runs", "statistics", "summary", "tables", "pictures", "curves", "aggregates", "plots", "html")
REPORT += ("marl_eval", "report")
HEAVY = {"jax", "jaxlib", "flax", "optax", "chex", "numpy", "jaxmarl", "flashbax", "orbax"}


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all that is imported, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def problems(tree: ast.Module, may_print: bool = False) -> list[str]:
    """Constructs that the package does without, each with its line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.endswith(".squeeze") and not node.args and not node.keywords:
                found.append(f"{node.lineno}: squeeze() drops whatever axis has size 1; name the axis")
            if name.endswith("PRNGKey"):
                found.append(f"{node.lineno}: raw key; use jax.random.key")
            if name == "print" and not may_print:
                found.append(f"{node.lineno}: print; use metrics")
        elif isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert vanishes under -O; raise an error")
        elif isinstance(node, ast.FunctionDef) and node.name == "make_train":
            found.append(f"{node.lineno}: make_train: a training script in one closure")
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"{node.lineno}: relative import")
    return found + [f"{line}: array made on import starts a backend" for line in arrays_on_import(tree)]


def arrays_on_import(node: ast.AST) -> Iterator[int]:
    """Lines of calls of jax.numpy and jax.random that run when the file is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func).startswith(("jnp.", "jax.numpy.", "jax.random.")):
            yield child.lineno
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # Defaults and decorators run on import, the body does not.
            yield from arrays_on_import(child.args)
            for decorator in getattr(child, "decorator_list", []):
                yield from arrays_on_import(decorator)
        else:
            yield from arrays_on_import(child)


def crossings(part: str, tree: ast.AST) -> list[str]:
    """Imports of a part of the package that FORBIDDEN rules out."""
    unwanted = [f"limae_jax.{other}" for other in FORBIDDEN.get(part, ())]
    return [name for name in imported(tree) if any(name == other or name.startswith(f"{other}.") for other in unwanted)]


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_arrows_point_one_way(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    part = place(path).partition("/")[0]
    assert crossings(part, tree) == []
    for name in imported(tree):
        homes = HOMES.get(name.partition(".")[0])
        assert homes is None or place(path).startswith(homes), f"{name} belongs into {homes}"


def modules_of(sources: dict[str, ast.AST]) -> dict[str, set[str]]:
    """Module -> modules among `sources` that it imports, wherever in the file, also for type checking only."""
    return {
        module: {name for node in ast.walk(tree) for name in resolved(node, sources)}
        for module, tree in sources.items()
    }


def resolved(node: ast.AST, sources: Container[str]) -> set[str]:
    """Modules that an import names: `from package import module` names the module, not the package."""
    if isinstance(node, ast.Import):
        names = [name.name for name in node.names]
    elif isinstance(node, ast.ImportFrom):
        inner = [f"{node.module}.{name.name}" for name in node.names]
        names = [name if name in sources else str(node.module) for name in inner]
    else:
        return set()
    return {name for name in names if name in sources}


def cycle_in(arrows: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty if there are none. Depth first."""
    finished: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        found = next((circle for other in sorted(arrows[module]) if (circle := visit(other, [*path, module]))), [])
        finished.add(module)
        return found

    return next((circle for module in sorted(arrows) if (circle := visit(module, []))), [])


def test_no_modules_import_each_other_in_a_circle():
    names = {path: f"limae_jax.{place(path).removesuffix('.py').replace('/', '.')}" for path in SOURCES}
    sources = {
        name.removesuffix(".__init__"): ast.parse(path.read_text(encoding="utf-8")) for path, name in names.items()
    }
    assert len(modules_of(sources)["limae_jax.cli"]) > 5
    assert cycle_in(modules_of(sources)) == []


def test_the_search_for_circles_finds_them():
    code = {
        "a": "import b",
        "b": "def f():\n    from c import x",
        "c": "if TYPE_CHECKING:\n    from a import y\nimport d",
        "d": "",
    }
    arrows = modules_of({name: ast.parse(text) for name, text in code.items()})
    assert cycle_in(arrows) == ["a", "b", "c", "a"]
    assert cycle_in({**arrows, "c": {"d"}}) == []


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_constructs_that_stay_out(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert problems(tree, may_print=place(path) in ("cli.py", "interrupts.py")) == []


@pytest.mark.parametrize("name", LIGHT)
def test_input_is_checked_without_heavy_imports(name):
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    loaded = {module.partition(".")[0] for node in top for module in imported(node)}
    assert not loaded & HEAVY


@pytest.mark.parametrize("name", REPORT)
def test_a_report_needs_no_jax(name):
    modules = set(imported(ast.parse((PACKAGE / "analysis" / f"{name}.py").read_text(encoding="utf-8"))))
    assert not {module.partition(".")[0] for module in modules} & (HEAVY - {"numpy"})
    light = {f"limae_jax.{place.removesuffix('.py').replace('/', '.')}" for place in LIGHT}
    light |= {f"limae_jax.analysis.{other}" for other in REPORT} | {
        "limae_jax.metrics.jsonl",
        "limae_jax.metrics.schema",
    }
    ours = {
        module for module in modules if module.startswith("limae_jax.") and (module.rpartition(".")[0] != "limae_jax")
    }
    assert all(module in light or module.rpartition(".")[0] in light for module in ours)


@pytest.mark.parametrize(
    "code",
    [
        "x = y.squeeze()",
        "def f():\n    return jax.random.PRNGKey(0)",
        "print(1)",
        "assert x",
        "ONES = jnp.ones(3)",
        "class A:\n    x = jax.numpy.ones(3)",
        "def f(x=jnp.ones(3)): pass",
        "def f():\n    def make_train(): pass",
        "from . import base",
    ],
)
def test_the_search_for_constructs_finds_them(code):
    assert len(problems(ast.parse(code))) == 1


def test_the_search_for_constructs_finds_nothing_else():
    fine = "DTYPE = jnp.float32\ndef f(x):\n    return jnp.ones(3).squeeze(0) + jnp.squeeze(x, axis=1)\n"
    assert problems(ast.parse(fine)) == []
    assert problems(ast.parse("print(1)"), may_print=True) == []


@pytest.mark.parametrize(
    "code",
    [
        "import limae_jax.systems.qmix",
        "from limae_jax.systems import qmix",
        "from limae_jax import systems",
        "def f():\n    from limae_jax.training.runner import train",
    ],
)
def test_the_search_for_arrows_finds_them(code):
    assert crossings("networks", ast.parse(code))
    assert not crossings("training", ast.parse(code))
