"""What would run code that a file brings, or write where an archive says: looked for in sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

MODULES = {
    "pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml",
    "torch", "runpy", "imp", "code", "jsonpickle", "skops",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    "load_model", "extractall", "extract", "unpack_archive", "read_pickle", "unsafe_load",
    "full_load", "enable_unsafe_deserialization", "import_module", "Unpickler",
    "load_module", "exec_module", "from_config", "model_from_json", "deserialize", "read_hdf",
}  # fmt: skip
SHELLS = {("os", "system"), ("os", "popen")}
# A kernel unpacks what it carries itself, by a hash that stands beside it; archives.py looks at
# each name first.
ALLOWED = {("kaggle/bootstrap.py", "extractall"), ("files/archives.py", "extract")}

# One line for each rule, to see that it finds something.
PLANTED = (
    *(f"import {module}" for module in sorted(MODULES)),
    *(f"from {module} import anything" for module in sorted(MODULES)),
    *(f"{name}('1')" for name in sorted(BUILTINS)),
    *(f"a.b.{name}('1')" for name in sorted(METHODS)),
    "os.system('ls')",
    "os.popen('ls')",
    "np.load('a.npz')",
    "numpy.load('a.npz', allow_pickle=True)",
    "np.load('a.npz', allow_pickle=chosen)",
    "subprocess.run('ls', shell=True)",
    "keras.anything('a', safe_mode=False)",
)


def forbidden_in(source: str, name: str) -> Iterator[str]:
    """Each place that breaks a rule, as file, line and what it is."""
    for node in ast.walk(ast.parse(source)):
        for what in _forbidden(node):
            if (name, what) not in ALLOWED:
                yield f"{name}, line {node.lineno}: {what}"


def forbidden_below(folder: Path) -> list[str]:
    """The same for all sources of a folder."""
    return [
        found
        for path in sorted(folder.rglob("*.py"))
        for found in forbidden_in(
            path.read_text(encoding="utf-8"), path.relative_to(folder).as_posix()
        )
    ]


def _forbidden(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (one.name for one in node.names if one.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom):
        if not node.level and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
    elif isinstance(node, ast.Call):
        yield from _forbidden_call(node)


def _forbidden_call(node: ast.Call) -> Iterator[str]:
    function = node.func
    if isinstance(function, ast.Name) and function.id in BUILTINS:
        yield function.id
    if isinstance(function, ast.Attribute):
        if function.attr in METHODS:
            yield function.attr
        module = function.value.id if isinstance(function.value, ast.Name) else ""
        if (module, function.attr) in SHELLS:
            yield function.attr
        refuses = any(
            key.arg == "allow_pickle" and getattr(key.value, "value", None) is False
            for key in node.keywords
        )
        if (module, function.attr) in (("np", "load"), ("numpy", "load")) and not refuses:
            yield "numpy.load without allow_pickle=False"
    for key in node.keywords:
        value = getattr(key.value, "value", None)
        if (key.arg == "shell" and value is not False) or (key.arg == "safe_mode" and not value):
            yield f"{key.arg}={value}"
