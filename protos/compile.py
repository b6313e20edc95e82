"""Compiles the contract to Python stubs, and checks that the committed ones are fresh and that the contract lints.

python protos/compile.py           write the stubs beside their protos
python protos/compile.py --check   exit 1 when a stub is stale or the contract does not lint
"""

import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from google.rpc import status_pb2

ROOT = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
PROTOS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("fovea/**/*.proto"))
STUBS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def protoc(*arguments: str) -> None:
    """Runs grpcio-tools' compiler on all protos."""
    well_known = files("grpc_tools") / "_proto"
    google_rpc = Path(status_pb2.__file__).parents[2]
    includes = [f"-I{ROOT}", f"-I{well_known}", f"-I{google_rpc}"]
    plugins_on_path = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *arguments, *PROTOS]
    subprocess.run(command, check=True, cwd=ROOT, env=plugins_on_path)


def compile_to(folder: Path) -> None:
    """Writes every stub below `folder`; only protos with services get a gRPC stub."""
    protoc(f"--python_out={folder}", f"--grpc_python_out={folder}", f"--mypy_out={folder}", f"--mypy_grpc_out={folder}")
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


def lint() -> bool:
    """Lints the contract with buf; the image that protoc builds resolves google.rpc without a network."""
    with tempfile.TemporaryDirectory() as temporary:
        image = Path(temporary) / "contract.binpb"
        protoc("--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
        result = subprocess.run([BIN / "buf", "lint", image, "--config", ROOT / "buf.yaml"], check=False)
    return result.returncode == 0


def main() -> int:
    """Do what the command line says; the exit status."""
    if "--check" not in sys.argv:
        compile_to(ROOT)
        return 0
    stale = stale_stubs()
    for name in stale:
        print(f"protos/{name} is stale: run `make protos`")
    return 0 if lint() and not stale else 1


if __name__ == "__main__":
    sys.exit(main())
