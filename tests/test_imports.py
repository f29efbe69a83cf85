"""Imports run one way: no circle, none that runs back up."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("data_pipelines", "experiments", "flexlam_jax")
# Package -> what nothing in it may import, wherever the import stands.
FORBIDDEN = {
    "data_pipelines": ("experiments", "flexlam_jax"),
    "flexlam_jax": ("data_pipelines", "experiments"),
    "flexlam_jax.config": ("flexlam_jax.models", "flexlam_jax.objectives", "flexlam_jax.training"),
    "flexlam_jax.parallel": (
        "flexlam_jax.models",
        "flexlam_jax.training",
        "flexlam_jax.checkpoints",
    ),
    "flexlam_jax.checkpoints": (
        "flexlam_jax.models",
        "flexlam_jax.training",
        "flexlam_jax.loading",
    ),
    "flexlam_jax.models": (
        "flexlam_jax.checkpoints",
        "flexlam_jax.evaluation",
        "flexlam_jax.loading",
        "flexlam_jax.objectives",
        "flexlam_jax.training",
    ),
    "flexlam_jax.loading": (
        "flexlam_jax.evaluation",
        "flexlam_jax.objectives",
        "flexlam_jax.training",
    ),
    "flexlam_jax.acting": (
        "flexlam_jax.evaluation",
        "flexlam_jax.objectives",
        "flexlam_jax.training",
    ),
    "flexlam_jax.serving": (
        "flexlam_jax.evaluation",
        "flexlam_jax.objectives",
        "flexlam_jax.training",
    ),
    "flexlam_jax.objectives": (
        "flexlam_jax.evaluation",
        "flexlam_jax.loading",
        "flexlam_jax.training",
    ),
    "flexlam_jax.reports": ("flexlam_jax.evaluation", "flexlam_jax.loading", "flexlam_jax.models"),
    "data_pipelines.format": (
        "data_pipelines.conversion",
        "data_pipelines.loading",
        "data_pipelines.readers",
        "data_pipelines.simulators",
    ),
    "data_pipelines.loading": (
        "data_pipelines.conversion",
        "data_pipelines.readers",
        "data_pipelines.simulators",
    ),
}


def nodes(tree, late):
    """Of a syntax tree; `late`: also those that run when a function is called."""
    for node in ast.iter_child_nodes(tree):
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        types_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        yield node
        if late or not (function or types_only):
            yield from nodes(node, late)


def imports(tree, known, late=True):
    """Modules of this project that a file imports."""
    for node in nodes(tree, late):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in whole]
        yield from (name for name in names if name.split(".")[0] in PACKAGES)


@pytest.fixture(scope="module")
def modules():
    """{module: syntax tree} of every file of the project."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return {
        name.removesuffix(".__init__"): ast.parse(file.read_text())
        for name, file in zip(names, files, strict=True)
    }


def test_there_is_no_circle(modules):
    """Of imports that run when a module is imported."""
    graph = {
        name: set(imports(tree, modules, late=False)) - {name} for name, tree in modules.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # Raises for a circle, and names it.


@pytest.mark.parametrize("package", FORBIDDEN)
def test_nothing_imports_what_stands_above_it(modules, package):
    up = [
        f"{name} imports {other}"
        for name, tree in modules.items()
        if f"{name}.".startswith(f"{package}.")
        for other in imports(tree, modules)
        if any(f"{other}.".startswith(f"{above}.") for above in FORBIDDEN[package])
    ]
    assert not up
