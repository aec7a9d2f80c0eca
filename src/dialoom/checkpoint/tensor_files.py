"""Weights files as lazy mappings: names and shapes at once, tensors when they are asked for.

Nothing here keeps a tensor that it gave away, so a reader that translates one tensor after another
needs no more memory than the result and one tensor.
"""

import pickle
import stat
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dialoom.checkpoint.store import read_json
from dialoom.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

SHARD_INDEX = ".index.json"
"""Behind the name of the weights file: where sharded weights say which tensor is in which file."""

_PREFIXES = ("_orig_mod.", "module.", "_forward_module.")
"""What torch.compile, DataParallel and Lightning put in front of every name, also one before the
other."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which trainers put the weights beside other things."""

_MAPPED_BYTES = 256 * 2**20

_DAMAGE = (
    RuntimeError, EOFError, ValueError, OSError, LookupError, TypeError, AttributeError,
    AssertionError, MemoryError, struct.error,
)  # fmt: skip
"""What torch raises over bytes that it did not write."""


class WeightsFile(Mapping[str, Tensor]):
    """A file, or several, of tensors."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


class SafetensorsFile(WeightsFile):
    """One or more .safetensors; a tensor is a view of the mapped file until it is written to."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        """Reads the headers.

        Args:
            paths: the file of each tensor.
        """
        self._paths = paths
        shapes: dict[str, tuple[int, ...]] = {}
        for path in sorted(set(paths.values())):
            with _open(path) as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        super().__init__(shapes)

    @classmethod
    def single(cls, path: Path) -> "SafetensorsFile":
        with _open(path) as file:
            return cls(dict.fromkeys(file.keys(), path))

    @classmethod
    def sharded(cls, index: Path) -> "SafetensorsFile":
        """Of the files that an index names, which stand beside it."""
        names = read_json(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise CheckpointError(f"{index} has no weight_map: it says of no tensor where it is")
        for name in names.values():
            if not isinstance(name, str) or Path(name).name != name:
                raise CheckpointError(f"{index} names the file {name!r}, which is not beside it")
        return cls({tensor: index.parent / name for tensor, name in names.items()})

    def __getitem__(self, name: str) -> Tensor:
        with _open(self._paths[name]) as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor


class PickledFile(WeightsFile):
    """A .pth: a pickled dictionary of tensors. Pickles that hold code are refused unread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_mapped = zipfile.is_zipfile(path)  # else torch's format before 1.6: read whole
        self._tensors = self._read()
        self._given_bytes = 0
        super().__init__({name: tuple(tensor.shape) for name, tensor in self._tensors.items()})

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        self._given_bytes += tensor.nbytes
        if self._is_mapped and self._given_bytes > _MAPPED_BYTES:
            # A new mapping: pages of the old one are let go.
            self._tensors, self._given_bytes = self._read(), 0
        return tensor

    def _read(self) -> dict[str, Tensor]:
        path = self._path
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, of a pickle that it then refuses
                data = torch.load(path, map_location="cpu", weights_only=True, mmap=self._is_mapped)
        except pickle.UnpicklingError as error:
            if "Unsupported operand" in str(error):
                raise _damaged(path, "no pickle of torch") from None
            raise CheckpointError(
                f"{path} holds code besides tensors, which could do anything on this machine: it "
                "is not read; ask its author for a .safetensors"
            ) from None
        except _DAMAGE as error:
            raise _damaged(path, error) from None
        return _tensors_of(data, path)


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes a .safetensors that whoever may read other new files here may read too.

    safetensors itself moves a private temporary file (mode 0600) to `path`. The umask of a process
    cannot be read without setting it, which other threads would notice: an empty file tells it.

    Args:
        tensors: contiguous, none a view of another.
        path: in a directory that exists.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(mode)


def open_weights(path: Path) -> WeightsFile:
    """Opens a file of weights by its name.

    Raises:
        CheckpointError: it is missing, damaged, holds code, or is of an unknown kind.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: the model has no weights")
    if path.name.endswith(SHARD_INDEX):
        return SafetensorsFile.sharded(path)
    if path.suffix == ".safetensors":
        return SafetensorsFile.single(path)
    if path.suffix in (".pth", ".pt", ".bin"):
        return PickledFile(path)
    raise CheckpointError(f"{path} is no file of weights: give a .safetensors or a .pth")


def refuse_other_tensors(actual: Shapes, expected: Shapes, *, where: str) -> None:
    """Compares names and shapes.

    Raises:
        CheckpointError: they are not exactly the expected ones.
    """
    missing, extra = (
        sorted(expected.keys() - actual.keys()),
        sorted(actual.keys() - expected.keys()),
    )
    if missing or extra:
        raise CheckpointError(
            f"{where}: {len(missing)} tensors are missing{_first(missing)} and {len(extra)} are "
            f"superfluous{_first(extra)}: these weights are not of this configuration"
        )
    for name, shape in actual.items():
        if tuple(shape) != tuple(expected[name]):
            raise CheckpointError(
                f"{where}: {name} has shape {tuple(shape)}, config.json asks for "
                f"{tuple(expected[name])}"
            )


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the model is not whole, copy it again") from None
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: object) -> CheckpointError:
    """What to say of a file that cannot be read: often it is something else than weights."""
    try:
        with path.open("rb") as file:
            head = file.read(256).lstrip().lower()
    except OSError as failed:
        return CheckpointError(f"{path} cannot be read ({failed})")
    if head.startswith(b"version https://git-lfs"):
        return CheckpointError(
            f"{path} is a pointer of Git LFS, not the file that it stands for: run `git lfs pull`"
        )
    if head.startswith((b"<!doctype html", b"<html")):
        return CheckpointError(
            f"{path} is a web page, not weights: download the file itself, on the Hub by its link "
            "with /resolve/ in place of /blob/"
        )
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return CheckpointError(f"{path} is damaged ({reason}): copy it again")


def _tensors_of(data: object, path: Path) -> dict[str, Tensor]:
    if isinstance(data, dict):
        wrapped = [data[key] for key in _WRAPPERS if isinstance(data.get(key), dict)]
        data = wrapped[0] if wrapped else data
    if not (isinstance(data, dict) and data and all(map(torch.is_tensor, data.values()))):
        raise CheckpointError(f"{path} holds no dictionary of tensors: these are no weights")
    data = {str(name): tensor for name, tensor in data.items()}
    while found := [p for p in _PREFIXES if all(name.startswith(p) for name in data)]:
        data = {name.removeprefix(found[0]): tensor for name, tensor in data.items()}
    return data


def _first(names: list[str]) -> str:
    return f" (first: {names[0]})" if names else ""
