"""Imports go one way, and what must not exist does not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "msapipe"

# A room may import from itself and from rooms on lines above its own; rooms on one line never import each other.
FLOORS = (
    ("errors", "interrupts"),
    ("types", "languages", "encodings", "safe_paths", "documents"),
    ("align", "registry", "resources", "sidecars"),
    ("weights",),
    ("media", "cache"),
    ("stages", "fusion", "datasets", "formats"),
    ("pipeline",),
    ("engines", "train"),
    ("api", "cluster"),
    ("report",),
    ("serve",),
    ("testing",),
    ("cli",),
    ("__main__",),
)
# Every folder of the repository with code of ours.
WRITTEN = ("msapipe", "models", "benchmarks", "sample_media", "tests", "examples", "docs")
MODULES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, and whether at module level (not under TYPE_CHECKING)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            yield name, id(node) in top


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_rooms_import_only_downwards() -> None:
    wrong = []
    for path in files():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module, _ in imports(path):
            if not module.startswith("msapipe.") or room == "__init__":
                continue
            other = room_of(module)
            assert room in FLOOR, f"{room} is a room without a floor: write it into FLOORS"
            if other != room and FLOOR[other] >= FLOOR[room]:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, wrong


def test_only_the_command_line_opens_the_room_of_ray() -> None:
    other = [path for path in files() if path.relative_to(PACKAGE).parts[0] not in ("cluster", "cli")]
    assert not [path for path in other if any(name.startswith(("msapipe.cluster", "ray")) for name, _ in imports(path))]


def test_no_circles_inside_rooms_either() -> None:
    """Whichever file is imported, none of those that it imports leads back to it: also inside functions."""
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in files()}
    leads = {name.removesuffix(".__init__"): leads_to(path) for name, path in modules.items()}
    circles = []
    for start in leads:
        seen, left = set[str](), list(leads[start] - {start})
        while left:
            if (name := left.pop()) not in seen and name in leads:
                seen.add(name)
                left += leads[name]
        if start in seen:
            circles.append(start)
    assert not circles, circles


def leads_to(path: Path) -> set[str]:
    """Modules, and what may be one, that a file imports, but for those that only types need."""
    found: set[str] = set()
    left: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while left:
        node = left.pop()
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES or {node.module}
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            left += ast.iter_child_nodes(node)
    return found


def test_no_stage_imports_another() -> None:
    wrong = []
    for path in (PACKAGE / "stages").glob("*/*.py"):
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[:2] == ["msapipe", "stages"] and len(parts) >= 3:
                own_folder = len(parts) == 4 and parts[2] == path.parent.name and parts[3].startswith("_")
                if not (parts[2].startswith("_") or own_folder):
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {module}")
    assert not wrong, wrong


def test_torch_is_imported_at_module_level_only_where_models_are() -> None:
    wrong = [
        str(path.relative_to(PACKAGE))
        for path in files()
        for module, at_top in imports(path)
        if at_top
        and module.split(".")[0] in ("torch", "torchvision", "torchaudio", "transformers", "cv2", "librosa")
        and path.relative_to(PACKAGE).parts[0] not in ("fusion", "train")
    ]
    assert not wrong, wrong


def test_files_fit() -> None:
    long = [f"{path.relative_to(PACKAGE)}: {len(path.read_text().splitlines())} lines" for path in files()]
    assert not [entry for entry in long if int(entry.split()[-2]) > 400]


def test_nothing_is_allowed_to_be_unequal_or_unpickled() -> None:
    """Of the whole repository: no zip that hides lengths, no weights that fit in part, no pickle that is loaded."""
    wrong = []
    for path in (path for name in WRITTEN for path in sorted((PACKAGE.parent / name).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                where = f"{path.relative_to(PACKAGE.parent)}:{node.lineno}"
                called = ast.unparse(node.func)
                if any(word.arg == "strict" and ast.unparse(word.value) == "False" for word in node.keywords):
                    wrong.append(f"{where}: {called} that need not be strict")
                asked = {word.arg: ast.unparse(word.value) for word in node.keywords}
                any_array = called.endswith("load") and asked.get("allow_pickle", "False") != "False"
                if any_array or re.fullmatch(r"pickle\._?(loads?|Unpickler)", called):
                    wrong.append(f"{where}: {called}")
    assert not wrong, wrong


def test_only_the_allow_list_unpickles() -> None:
    """However it is called: a module that can unpickle is imported where a pickle is read by the list, or written."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in files()
        for module, _ in imports(path)
        if module.split(".")[0] in ("pickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle")
    }
    assert found == {"formats/_safe_pickle.py", "formats/_plain_pickle.py"}


def test_a_checkpoint_is_pinned_once() -> None:
    found: dict[str, set[str]] = {}
    for path in files():
        for revision in re.findall(r'"([0-9a-f]{40})"', path.read_text(encoding="utf-8")):
            found.setdefault(revision, set()).add(str(path.relative_to(PACKAGE)))
    assert {revision: where for revision, where in found.items() if len(where) > 1} == {}


def test_what_must_not_exist() -> None:
    wrong = []
    for path in files():
        where = path.relative_to(PACKAGE)
        if path.stem in ("utils", "common", "helpers", "misc"):
            wrong.append(f"{where}: a room without a name of its own")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                wrong.append(f"{where}:{node.lineno}: bare except")
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if called.startswith("pickle."):
                    wrong.append(f"{where}:{node.lineno}: pickle")
                if called == "torch.load" and keywords.get("weights_only") != "True":
                    wrong.append(f"{where}:{node.lineno}: torch.load without weights_only=True")
                if called == "print" and where.parts[0] != "cli":
                    wrong.append(f"{where}:{node.lineno}: print outside cli/")
    assert not wrong, wrong
