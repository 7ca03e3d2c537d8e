"""The rules of the house: floors, linters, docstrings, and documents that do what they say."""

import ast
import contextlib
import doctest
import graphlib
import importlib
import io
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import grokjax

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "grokjax"

# A module imports from lower floors only; modules of one floor do not know each other.
FLOORS = [
    {"checks", "keys", "pytorch"},
    {"tasks", "spectral", "survival", "losses", "optimizers"},
    {"models"},
    {"analytic", "kernels", "measures", "results"},
    {"train"},
    {"sweep"},
    {"plotting", "critical", "page"},
    {"command"},
]
# Inside the sweep too: each imports from those before it only.
SWEEP = ["identity", "plan", "schedule", "programs", "devices", "tuning", "ledger", "snapshot"]
SWEEP += ["store", "observers", "loop", "resume", "run"]
COMPILED = {"jit", "vmap", "pmap", "shard_map"}
COMPILES = {"grokjax.sweep.programs"}  # nobody else


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


# --------------------------------------------------------------------------------------------
# Imports
# --------------------------------------------------------------------------------------------


def imported(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively; write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else str(node.module))
    return {module for module in found if module.split(".")[0] == "grokjax"} - {name}


def part(name: str) -> str:
    """The file or folder of the package that a module belongs to."""
    return name.split(".")[1]


def test_every_module_has_a_floor():
    placed = [name for floor in FLOORS for name in floor]
    assert len(placed) == len(set(placed))
    assert {part(name) for name in MODULES if name != "grokjax"} == set(placed)
    inside = {name.split(".")[2] for name in MODULES if name.startswith("grokjax.sweep.")}
    assert inside == set(SWEEP)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "grokjax"])
def test_modules_import_from_lower_floors_only(name):
    floor = {module: height for height, modules in enumerate(FLOORS) for module in modules}
    for other in imported(name):
        assert other in MODULES, f"{name} imports {other}, which does not exist"
        assert other != "grokjax", f"{name} imports public names; import the module that has them"
        same = part(other) == part(name)
        assert same or floor[part(other)] < floor[part(name)], f"{name} imports {other}"
        if same and name.startswith("grokjax.sweep."):
            mine, its = (SWEEP.index(module.split(".")[2]) for module in (name, other))
            assert its < mine, f"{name} imports {other}"


def test_no_import_is_circular():
    # A package needs its __init__, which re-exports what is inside: only leaves can go in circles.
    graph = {name: imported(name) for name, path in MODULES.items() if path.stem != "__init__"}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", MODULES)
def test_only_the_programs_of_a_sweep_compile_and_map(name):
    used = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import | ast.ImportFrom):
            used |= {alias.name.split(".")[-1] for alias in node.names}
        used |= {getattr(node, "attr", None), getattr(node, "id", None)}  # jax.jit, jit
    assert name in COMPILES or not used & COMPILED, f"{name} uses {used & COMPILED}"


def test_importing_grokjax_is_cheap_and_computes_nothing():
    code = """
import sys
import grokjax
heavy = {"matplotlib", "flax.linen", "flax.nnx", "orbax", "torch", "IPython"}
loaded = sorted(heavy & (set(sys.modules) | {name.split(".")[0] for name in sys.modules}))
assert not loaded, loaded
import jax
jax.config.update("jax_num_cpu_devices", 3)  # an error once anything was computed
assert jax.device_count() == 3
sys.modules["matplotlib"] = None  # as where it is not installed
try:
    grokjax.plotting.save
except ModuleNotFoundError as error:
    assert 'pip install "grokjax[commands]"' in str(error), error
else:
    raise AssertionError("matplotlib is not needed?")
"""
    run(sys.executable, "-c", code, env={"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""})


# --------------------------------------------------------------------------------------------
# Docstrings
# --------------------------------------------------------------------------------------------


def public_definitions(name: str):
    """Public functions and classes of a module, and public methods of its public classes."""
    for node in TREES[name].body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{name}.{node.name}", node
        for method in getattr(node, "body", ()) if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                yield f"{name}.{node.name}.{method.name}", method


DEFINITIONS = [pair for name in MODULES for pair in public_definitions(name)]


@pytest.mark.parametrize(
    ("name", "node"), [*TREES.items(), *DEFINITIONS], ids=[*TREES, *dict(DEFINITIONS)]
)
def test_docstrings_begin_with_a_sentence(name, node):
    text = ast.get_docstring(node)
    assert text, f"{name} has no docstring"
    first = text.split("\n")[0]
    assert first.endswith((".", ":")), f"{name}: {first}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name):
    if name == "grokjax.pytorch":
        pytest.importorskip("torch", reason="torch is not installed")
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_public_names_exist():
    for found in pkgutil.iter_modules(grokjax.__path__):
        assert getattr(grokjax, found.name, None) or found.name == "command"


# --------------------------------------------------------------------------------------------
# Linters
# --------------------------------------------------------------------------------------------


def test_ruff_finds_nothing():
    run(sys.executable, "-m", "ruff", "check", ".")


def test_the_code_is_formatted():
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_pyright_finds_nothing():
    run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable)


# --------------------------------------------------------------------------------------------
# Files
# --------------------------------------------------------------------------------------------


def test_no_file_names_a_machine_or_a_registry():
    places = [r"/wor[k]/", r"/tm[p]/", r"/roo[t]/", r"/hom[e]/\w", r"/User[s]/\w"]
    registries = [r"pyp[i]\.", r"pythonhoste[d]", r"index-ur[l]", r"npmj[s]"]
    forbidden = re.compile("|".join(places + registries))
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        text = re.sub(r'"image/png": "[^"]*"', "", text)
        found = forbidden.search(text)
        assert not found, f"{path.relative_to(ROOT)} contains {found and found[0]!r}"


def repository_files() -> list[Path]:
    """What is or would be committed; without git all files but those that tools leave behind."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        left = {"__pycache__", "results", "build", "dist"}
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(
                parent in left or parent.startswith(".") or parent.endswith(".egg-info")
                for parent in path.relative_to(ROOT).parts[:-1]
            )
        ]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents_name_files_that_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    for link in (link for link in links if "://" not in link):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"
    paths = re.findall(r"`([\w.-]+/[\w./-]*)`", text)
    for path in (path for path in paths if not path.startswith("results")):
        assert (ROOT / path).exists() or (PACKAGE / path).exists(), f"{page.name} names {path}"
    names = re.findall(r"`([\w-]+\.(?:py|md|ipynb|toml|cff))`", text)
    assert set(names) <= {path.name for path in repository_files()}


def test_what_is_promised_is_shown_by_tests_that_exist():
    text = (ROOT / "docs/reliability.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    for name, more in re.findall(r"`(test_\w+?)(?:_?(\.\.\.))?`", text):
        assert f"def {name}{'' if more else '('}" in tests, name


@pytest.mark.parametrize("name", [p.stem for p in sorted((ROOT / "benchmarks").glob("*.py"))])
def test_benchmarks_can_be_imported(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_the_readme_has_the_two_commands_and_they_match_the_project():
    text = (ROOT / "README.md").read_text()
    assert "\npip install -e . && python experiments/alpha_sweep.py\n" in text
    assert '\npip install -e ".[test]" && pytest\n' in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "test" in project["optional-dependencies"]
    assert project["version"] == grokjax.__version__
    assert f"version: {grokjax.__version__}\n" in (ROOT / "CITATION.cff").read_text()


# --------------------------------------------------------------------------------------------
# Documents that run
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["README.md", "docs/extending.md", "docs/report.md", "docs/weights.md"]
)
def test_code_in_documents_prints_what_is_shown(page, tmp_path, monkeypatch):
    for library in {"docs/report.md": ["altair"], "docs/weights.md": ["torch"]}.get(page, []):
        pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.chdir(tmp_path)  # where an example writes its results
    text = (ROOT / page).read_text()
    blocks = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", text, re.M | re.S)
    assert blocks
    assert len(blocks) == text.count("```python")
    namespace = {"__name__": "document"}
    for code, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), namespace)
        assert_same_text(printed.getvalue(), shown)


def assert_same_text(printed: str, shown: str) -> None:
    """Equal words; numbers to a quarter, since steps and accuracies differ between machines."""
    number = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?(?![\w])")
    words = [number.sub("#", text).split() for text in (printed, shown)]
    assert words[0] == words[1], f"printed:\n{printed}\nshown:\n{shown}"
    values = [[float(value) for value in number.findall(text)] for text in (printed, shown)]
    assert values[0] == pytest.approx(values[1], rel=0.25, abs=0.15), f"printed:\n{printed}"


EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_are_committed_as_they_ran(path, tmp_path):
    committed = json.loads(path.read_text())
    fresh = tmp_path / path.name
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }
    run(sys.executable, "-c", EXECUTE, str(path), str(fresh), env=cache)
    kinds = [outputs_of(notebook) for notebook in (committed, json.loads(fresh.read_text()))]
    assert kinds[0] == kinds[1]
    assert "image/png" in {kind for cell in kinds[0] for kind in cell}


def outputs_of(notebook: dict) -> list[list[str]]:
    """The kinds of output of each code cell; errors, warnings and cells that were not run fail."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = []
    for cell in cells:
        kinds.append([])
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", output["text"]
            data = output.get("data", {"stdout": ""})
            assert "application/vnd.jupyter.widget-view+json" not in data
            kind = "image/png" if "image/png" in data else next(iter(data))
            if kind not in kinds[-1]:  # printed text may come in pieces
                kinds[-1].append(kind)
    return kinds


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


def run(*command: str, env: dict[str, str] | None = None) -> None:
    """Runs a command in the repository; fails with its whole output."""
    # As users run it: without what makes tests compile sooner.
    usual = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "XLA_FLAGS": ""}
    environment = {**os.environ, **usual, **(env or {})}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


PACKAGES = [name for name in MODULES if (ROOT / name.replace(".", "/") / "__init__.py").exists()]


@pytest.mark.parametrize("name", PACKAGES)
def test_completion_shows_what_is_public_and_nothing_else(name):
    package = importlib.import_module(name)
    later = {"command", "plotting", "pytorch"} if name == "grokjax" else set()
    assert set(dir(package)) == set(package.__all__) | later
    assert len(package.__all__) == len(set(package.__all__))
    for public in dir(package):
        assert getattr(package, public) is not None or public == "command"
