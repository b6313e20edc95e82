"""Compiles the contract to Python stubs, and checks that the committed ones are fresh and that the contract may be shipped.

python protos/compile.py             write the stubs beside their protos
python protos/compile.py --check     exit 1 when a stub is stale, or the contract does not lint or breaks its last release
python protos/compile.py --release   keep the contract as it is now as the last release, in release.binpb
"""

import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent
RELEASE = ROOT / "release.binpb"
BIN = Path(sys.executable).parent
PROTOS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("fovea/**/*.proto"))
STUBS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def compile_to(folder: Path) -> None:
    """Writes every stub below `folder`; only protos with services get a gRPC stub.

    None is written for google/rpc/status.proto: in Python it comes with googleapis-common-protos.
    """
    includes = [f"-I{ROOT}", f"-I{files('grpc_tools') / '_proto'}"]
    outputs = [f"--{plugin}_out={folder}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    plugins_on_path = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *PROTOS]
    subprocess.run(command, check=True, cwd=ROOT, env=plugins_on_path)
    for stub in folder.glob("fovea/**/*_pb2_grpc.py*"):
        proto = ROOT / stub.relative_to(folder).parent / f"{stub.name.split('_pb2_grpc')[0]}.proto"
        if "\nservice " not in proto.read_text():
            stub.unlink()


def stale_stubs() -> list[str]:
    """Names each committed stub that differs from what the protos compile to."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compile_to(folder)
        fresh = {path.relative_to(folder): path.read_bytes() for path in folder.glob("fovea/**/*.py*")}
    committed = {
        path.relative_to(ROOT): path.read_bytes() for path in ROOT.glob("fovea/**/*") if path.name.endswith(STUBS)
    }
    return sorted(str(name) for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))


def buf(*arguments: str | Path) -> bool:
    """Runs buf on this folder; whether it found nothing."""
    return subprocess.run([BIN / "buf", *arguments], cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Do what the command line says; the exit status."""
    if "--release" in sys.argv:
        return 0 if buf("build", "--exclude-source-info", "--output", RELEASE) else 1
    if "--check" not in sys.argv:
        compile_to(ROOT)
        return 0
    stale = stale_stubs()
    for name in stale:
        print(f"protos/{name} is stale: run `make protos`")
    passes = [buf("build"), buf("lint"), buf("breaking", "--against", RELEASE)]
    return 0 if all(passes) and not stale else 1


if __name__ == "__main__":
    sys.exit(main())
