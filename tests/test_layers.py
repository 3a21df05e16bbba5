"""Imports go one way: grafting <- verifier <- jit <- kernel_model <- cli; heavy libraries load only when needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["grafting", "verifier", "jit", "kernel_model", "cli"]


def imported_layers(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & set(LAYERS)


def files_of(layer: str) -> list[Path]:
    return [ROOT / "cli.py"] if layer == "cli" else sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_layers_below_it(layer: str) -> None:
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    files = files_of(layer)
    assert files
    for file in files:
        assert imported_layers(file) <= allowed, f"{file.relative_to(ROOT)} reaches upward"


@pytest.mark.parametrize("layer", LAYERS)
def test_importing_a_layer_loads_no_heavy_library(layer: str) -> None:
    script = (
        f"import sys, {layer}; print(*sorted({{'numba', 'llvmlite', 'matplotlib', 'lark', 'z3'}} & set(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_a_package_is_typed(layer: str) -> None:
    assert (ROOT / layer / "py.typed").exists()
