"""The type checker looks at signatures; here it is seen that public functions have them."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CALLED = ("__call__", "__init__")


def public_functions(body, owner=""):
    """(name, function, whether the first argument is the object) of a module or class body."""
    for node in body:
        public = not getattr(node, "name", "_").startswith("_")
        if isinstance(node, ast.ClassDef) and public:
            yield from public_functions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (public or node.name in CALLED):
            static = any(ast.unparse(d) == "staticmethod" for d in node.decorator_list)
            yield f"{owner}{node.name}", node, bool(owner) and not static


def test_public_functions_say_what_they_take_and_give():
    untyped = []
    for package in ("data_pipelines", "flexlam_jax"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for name, function, bound in public_functions(ast.parse(file.read_text()).body):
                given = function.args
                arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs][bound:]
                complete = all(argument.annotation for argument in arguments)
                if not complete or not (function.returns or function.name == "__init__"):
                    untyped.append(f"{file.relative_to(ROOT)}: {name}")
    assert not untyped
