"""Arrows between the packages point one way, and some constructs stay out."""

import ast
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

import limae_jax

PACKAGE = Path(limae_jax.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
# The rooms of the package, from the ground floor up. A room imports from the floors below its own only; what is beside
# it on the same floor it does not know. The modules at the root are one room.
FLOORS = (
    ("root",),
    ("catalogue", "devices", "losses"),
    ("config",),
    ("environments", "masking", "metrics", "networks", "replay"),
    ("checkpoints", "systems"),
    ("runs",),
    ("rollouts",),
    ("training",),
    ("evaluation", "sweeps"),
    ("analysis",),
    ("cli",),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
# These open the doors: `limae_jax.train` and `python -m limae_jax`.
FRONT = ("__init__.py", "__main__.py")

# Outside library -> the only places that import it.
HOMES = {
    "jaxmarl": ("environments/",),
    "flashbax": ("replay/",),
    "orbax": ("checkpoints/",),
    "tensorstore": ("checkpoints/",),
    "hydra": ("config/compose.py", "config/overrides.py"),
    "omegaconf": ("config/compose.py",),
    "tensorboardX": ("metrics/",),
    "wandb": ("metrics/",),
    "submitit": ("sweeps/cluster.py",),
    "safetensors": ("evaluation/policy_file.py",),
    "filelock": ("runs/lock.py",),
    "matplotlib": ("analysis/",),
    "PIL": ("analysis/",),
    "smac": ("environments/smac/",),
    "pysc2": ("environments/smac/",),
    "s2clientprotocol": ("environments/smac/",),
    "absl": ("environments/smac/",),
    "gymnasium": ("environments/pettingzoo/",),
}

# Files that the command line imports before it has checked the input, and what they must not import at the top.
LIGHT = (
    "__init__.py",
    "checks.py",
    "errors.py",
    "registry.py",
    "version.py",
    "analysis/__init__.py",
    "analysis/render.py",
    *(f"catalogue/{path.name}" for path in (PACKAGE / "catalogue").glob("*.py")),
    *(f"checkpoints/{name}.py" for name in ("__init__", "files", "prune")),
    *(f"cli/{name}.py" for name in ("__init__", "arguments", "commands", "doctor", "explain", "listing", "main")),
    *(f"config/{path.name}" for path in (PACKAGE / "config").glob("*.py")),
    *(f"devices/{name}.py" for name in ("__init__", "backend", "host_memory")),
    *(f"environments/{name}.py" for name in ("__init__", "smac/__init__", "smac/installation", "workers/__init__")),
    *(f"environments/pettingzoo/{name}.py" for name in ("__init__", "installation")),
    "masking/__init__.py",
    *(f"metrics/{name}.py" for name in ("__init__", "jsonl", "schema", "status", "streams", "tables", "terminal")),
    "metrics/waiting.py",
    *(f"replay/{name}.py" for name in ("__init__", "memory")),
    *(f"runs/{name}.py" for name in ("__init__", "evaluation", "interrupts", "records", "stored")),
    *(f"sweeps/{name}.py" for name in ("__init__", "grid")),
    "systems/__init__.py",
)
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


def room_of(module: str) -> str:
    """The room of a module of the package, by its dotted name."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR_OF else "root"


def crossings(room: str, tree: ast.AST) -> list[str]:
    """Imports of a room that reach up, or to another room on its floor."""
    ours = [name for name in imported(tree) if name.split(".")[0] == "limae_jax"]
    return [name for name in ours if room_of(name) != room and FLOOR_OF[room_of(name)] >= FLOOR_OF[room]]


@pytest.mark.parametrize("path", SOURCES, ids=place)
def test_arrows_point_one_way(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if place(path) not in FRONT:
        assert crossings(room_of(f"limae_jax.{place(path).replace('/', '.')}"), tree) == []
    for name in imported(tree):
        homes = HOMES.get(name.partition(".")[0])
        assert homes is None or place(path).startswith(homes), f"{name} belongs into {homes}"


def test_every_room_is_on_a_floor_and_the_root_is_small():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms == set(FLOOR_OF) - {"root"}
    assert len(list(PACKAGE.glob("*.py"))) <= 8
    # A room that is imported would hide a function of its name.
    assert not rooms & set(limae_jax.__all__)


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
    assert len(modules_of(sources)["limae_jax.cli.commands"]) > 5
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
    assert problems(tree, may_print=place(path) in ("cli/commands.py", "cli/main.py", "runs/interrupts.py")) == []


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
    light = {f"limae_jax.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}" for name in LIGHT}
    light |= {f"limae_jax.analysis.{other}" for other in REPORT}
    ours = {module for module in modules if module.startswith("limae_jax.") and module.count(".") > 1}
    assert {module for module in ours if module not in light and module.rpartition(".")[0] not in light} == set()


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
        "import limae_jax.masking.base",
        "def f():\n    from limae_jax.training.runner import train",
    ],
)
def test_the_search_for_arrows_finds_them(code):
    assert crossings("networks", ast.parse(code))
    assert not crossings("evaluation", ast.parse(code))


TESTS = Path(__file__).parent


def test_tests_borrow_from_no_test_file():
    """What several of them need is a module of its own, which no test runs twice."""
    files = sorted(TESTS.rglob("test_*.py"))
    borrowed = {
        f"{path.name}: {name}"
        for path in files
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] in {file.stem for file in files}
    }
    assert not borrowed
    # They are told apart by their names alone, wherever they lie.
    assert len({file.name for file in files}) == len(files)
