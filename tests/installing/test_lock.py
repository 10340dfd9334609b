"""pyproject.toml is the only list of dependencies: what is made from it, imported and installed agrees with it."""

import ast
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import lock

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PINS = lock.read_pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
DIRECT = {canonicalize_name(Requirement(line).name) for listed in lock.sections(PYPROJECT).values() for line in listed}


def test_requirements_are_made_from_pyproject():
    made = lock.requirements(PYPROJECT, PINS)
    assert made == (ROOT / "requirements.txt").read_text(encoding="utf-8"), "run `make lock`"


def test_a_changed_pyproject_is_seen():
    other = PYPROJECT.replace('"tqdm>=4.66"', '"tqdm>=99"')
    assert other != PYPROJECT
    with pytest.raises(ValueError, match=r"run make lock: tqdm>=99"):
        lock.requirements(other, PINS)
    reworded = PYPROJECT.replace("# progress bars", "# bars")
    assert lock.requirements(reworded, PINS) != lock.requirements(PYPROJECT, PINS)
    without = PYPROJECT.replace('"tqdm>=4.66",             # progress bars', '"tqdm>=4.66",')
    assert without != PYPROJECT
    with pytest.raises(ValueError, match=r"tqdm>=4.66: put each on a line of its own, with its reason"):
        lock.reasons(without)


def beneath(names: Iterable[str]) -> set[str]:
    """Everything that the installed packages of these names ask for here, themselves among it."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    left: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in names]
    while left:
        name, extras = left.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", *extras)):
                left.append((canonicalize_name(requirement.name), tuple(sorted(requirement.extras))))
    return {name for name, _ in found if not name.startswith(lock.ON_GPU_ONLY)}


@pytest.mark.slow
def test_the_lock_holds_what_is_beneath_the_direct_dependencies_and_nothing_else():
    needed = beneath(DIRECT)
    assert not needed - set(PINS), "not locked; run `make lock`"
    if sys.version_info[:2] == (3, 11):  # the Python that the lock is made with; newer ones need a little less
        assert not set(PINS) - needed - set(lock.NEWER), "locked, and needed by nothing; run `make lock`"


def test_the_environment_is_the_lock():
    """The lock is made on the oldest Python: what only that one needs may lack on another."""
    there = {canonicalize_name(d.metadata["Name"]): d.version.partition("+")[0] for d in metadata.distributions()}
    made_here = sys.version_info[:2] == (3, 11)
    here = {name: PINS[name] for name in (PINS.keys() - lock.NEWER if made_here else beneath(DIRECT) & PINS.keys())}
    assert {name: there.get(name) for name in here} == here


def imported(*folders: str) -> set[str]:
    """Distributions whose modules the Python files of some folders import."""
    of_module = metadata.packages_distributions()
    modules = set()
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.split(".")[0])
    own = {path.name for path in ROOT.iterdir()} | {"povid_lib"}
    foreign = {module for module in modules if module not in sys.stdlib_module_names and module not in own}
    assert foreign, f"{folders} import nothing?"
    unknown = {module for module in foreign if module not in of_module}
    assert not unknown, f"{folders} import what is not installed: {unknown}"
    return {canonicalize_name(of_module[module][0]) for module in foreign}


@pytest.mark.slow
@pytest.mark.parametrize("folders", [("povid_lib",), ("tests", "benchmarks", "scripts", "experiments", "_ext")])
def test_what_is_imported_is_declared(folders):
    project = tomllib.loads(PYPROJECT)["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    if folders != ("povid_lib",):
        lists += tomllib.loads(PYPROJECT)["dependency-groups"].values()
    declared = {canonicalize_name(Requirement(line).name) for listed in lists for line in listed}
    lacking = imported(*folders) - declared
    assert not lacking, f"{', '.join(lacking)}: name them in pyproject.toml"


# what Colab had installed in August 2026, and no TRL
COLAB = {
    "torch": "2.11.0", "transformers": "5.15.1", "peft": "0.20.0", "accelerate": "1.14.0", "numpy": "2.1.3", "pillow": "11.3.0",
    "ipywidgets": "7.7.1", "ipython": "7.34.0", "pandas": "2.2.3",
}  # fmt: skip


def test_colab_keeps_its_own_versions():
    project = tomllib.loads(PYPROJECT)["project"]
    extras = project["optional-dependencies"]
    (own,) = (Requirement(line) for line in extras["colab"])
    assert own.name == project["name"]
    listed = [Requirement(line) for line in sum((extras[name] for name in own.extras), project["dependencies"])]
    asked = {canonicalize_name(one.name): one.specifier for one in listed}
    replaced = {name: version for name, version in COLAB.items() if not asked[name].contains(version)}
    assert not replaced, "pip would replace these on Colab"
    assert set(asked) >= {canonicalize_name(Requirement(line).name) for line in extras["notebook"]}


def test_one_version_number():
    import povid_lib

    version = tomllib.loads(PYPROJECT)["project"]["version"]
    assert povid_lib.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
