"""The laws of the package: what is public, what imports what, what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import geocamss

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "geocamss"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TRAINING = {"diffusers", "kornia", "lightning", "timm", "torchgeo", "torchmetrics", "torchvision"}
HEAVY = {"geopandas", "numpy", "pandas", "pydantic", "rasterio", "scipy", "shapely", "torch"}


def loaded(code: str) -> set[str]:
    """Top-level modules that are loaded in a new interpreter once it has run the code."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


def modules(*parts: str) -> list[str]:
    """Dotted names of the modules in a folder of the package."""
    files = PACKAGE.joinpath(*parts).rglob("*.py")
    names = (file.relative_to(ROOT).with_suffix("").as_posix() for file in files)
    return sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded("import geocamss") & (HEAVY | TRAINING)


def test_every_public_name_is_there_and_listed() -> None:
    assert sorted(geocamss.__all__) == sorted(set(geocamss.__all__))
    for name in geocamss.__all__:
        assert getattr(geocamss, name) is not None
    assert set(geocamss.__all__) <= set(dir(geocamss))
    with pytest.raises(AttributeError, match="no_such_name"):
        geocamss.no_such_name  # noqa: B018 (the name is the test)


ORDERS = """
import itertools, sys
lines = ["geocamss.predict", "import geocamss.predict", "from geocamss.predict import Result",
         "from geocamss import predict"]
for order in itertools.permutations(lines):
    for name in ("geocamss", "geocamss.predict"):
        sys.modules.pop(name, None)
    space = {}
    for line in ("import geocamss", *order):
        exec(line, space)
        kind = type(space["geocamss"].predict).__name__
        assert kind == "function", (order, line, kind)
"""


def test_predict_is_the_function_whoever_imports_its_module() -> None:
    assert "geocamss" in loaded(ORDERS)


def test_mapping_loads_no_training_library() -> None:
    assert not loaded("import geocamss.predict, geocamss.models.module") & TRAINING


def test_telling_what_a_model_is_loads_no_torch() -> None:
    code = """
from geocamss.models import header, registry
header.read_card(registry.path(registry.DEFAULT))
"""
    assert "torch" not in loaded(code)


def test_reading_and_writing_pixels_loads_no_torch() -> None:
    code = "\n".join(f"import {name}" for name in [*modules("scene"), *modules("output")])
    assert "torch" not in loaded(code)


def imported(file: Path) -> set[str]:
    """Top-level names of what a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"geocamss"}


EXTRAS = {
    "training": "train",
    "viewer": "view",
    "result.py": "notebook",
    "evaluation/report.py": "plot",
}
"""Files and folders that may import what an extra brings."""


def declared(requirements: list[str]) -> set[str]:
    """Normalized names of distributions."""
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def test_whatever_is_imported_is_declared() -> None:
    homes = packages_distributions()
    core = declared(PROJECT["dependencies"])
    extras = {
        extra: core | declared(PROJECT["optional-dependencies"][extra])
        for extra in ("train", "plot", "view", "notebook")
    }
    for file in PACKAGE.rglob("*.py"):
        place = file.relative_to(PACKAGE)
        extra = EXTRAS.get(place.as_posix()) or EXTRAS.get(place.parts[0])
        allowed = core if extra is None else extras[extra]
        if "qgis" in file.parts:  # comes with QGIS, and leaves its Python as it is
            assert imported(file) <= {"qgis", "processing"}, file
            assert not re.search(r"^\s*(import|from) geocamss", file.read_text(), re.MULTILINE)
            continue
        for name in imported(file):
            distributions = {canonicalize_name(home) for home in homes[name]}
            assert distributions & allowed, f"{file.relative_to(ROOT)} imports {name}"


def test_every_requirement_has_a_tested_version_that_suits_it() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    versions = {}
    for pin in pins:
        assert re.fullmatch(r"==[^+*]+", str(pin.specifier)), pin
        assert pin.url is None
        versions[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    extras = PROJECT["optional-dependencies"]
    asked = [text for extra, texts in extras.items() if extra != "dev" for text in texts]
    for text in [*PROJECT["dependencies"], *asked]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


def test_the_readme_and_ci_call_the_same_command() -> None:
    command = (ROOT / ".ci" / "run").read_text().splitlines()[-1]
    assert command.endswith("-m tests")
    assert command in (ROOT / "README.md").read_text().splitlines()


def files_drawn(page: str) -> set[str]:
    """Python files in the tree on the architecture page, by path from the package."""
    folders: list[str] = []
    found = set()
    for indent, name in re.findall(r"^( *)([\w/.]+)(?:  |$)", page, re.MULTILINE):
        folders[len(indent) // 2 :] = [name]
        if name.endswith(".py"):
            found.add("".join(folders))
    return found


def test_the_architecture_page_draws_every_file_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    files = {file.relative_to(ROOT).as_posix() for file in PACKAGE.rglob("*.py")}
    assert files_drawn(page) == {file for file in files if not file.endswith("__init__.py")}


def test_the_wheel_holds_the_package_its_types_and_its_weights(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {n for n in names if ".dist-info/" not in n}
    ours = [f for f in PACKAGE.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert shipped == {f.relative_to(ROOT).as_posix() for f in ours}
    assert "geocamss/py.typed" in shipped
    assert any(re.fullmatch(r"geocamss/models/weights/[\w.-]+\.safetensors", n) for n in shipped)
    assert any(n.endswith("/licenses/LICENSE") for n in names)
