"""Run by test_ray_engine.py in a process of its own: a corpus by a real Ray with 2 CPUs.

Prints as JSON what the test looks at.
"""

import json
import os
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from fake_audio import FakeCodec, write_tone
from fake_source import read_files, write_source

from dialoom.data import PrepareOptions, PrepareSummary, preparation, prepare, ray_engine
from dialoom.data.ray_engine import RayEngine
from dialoom.errors import DataError

NUM_CLIPS = 70


class SignedCodec(FakeCodec):
    """Leaves a file named by the process that encodes."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def encode(self, waveform):  # type: ignore[no-untyped-def]
        (self.folder / str(os.getpid())).touch()
        return super().encode(waveform)


def run(source: Path, out: Path, codec: FakeCodec | None = None, **options: str) -> PrepareSummary:
    return prepare(source, out, PrepareOptions(**options), codec=codec or FakeCodec())


def make_sources(root: Path) -> tuple[Path, Path]:
    """Files, of which some are bad, by a path within the working directory; and a Parquet file."""
    files = write_source(root, NUM_CLIPS)
    (files / "clip-03.wav").write_bytes(b"")
    (files / "clip-40.wav").write_bytes(b"RIFF of nothing")
    (files / "clip-41.txt").unlink()
    os.chdir(root)
    audio = [write_tone(root / f"{i}.wav", 0.2 + 0.01 * i).read_bytes() for i in range(40)]
    table = pa.table({"audio": audio, "text": [f"text {i}" for i in range(40)]})
    pq.write_table(table, root / "rows.parquet", row_group_size=7)
    return files.relative_to(root), Path("rows.parquet")


def stop_and_go_on(files: Path, whole: Path) -> dict[str, object]:
    """A run by Ray is stopped after its first shard; the local engine finishes it."""
    original = preparation.finish_part

    def stopped(part, outcomes, writer):  # type: ignore[no-untyped-def]
        if part.index == 1:
            raise KeyboardInterrupt
        return original(part, outcomes, writer)

    preparation.finish_part = stopped
    try:
        run(files, Path("halves"), engine="ray")
    except KeyboardInterrupt:
        preparation.finish_part = original
    else:
        raise AssertionError("the run went on to its end")
    shards = [path.name for path in Path("halves").glob("data-*")]
    codec = FakeCodec()
    run(files, Path("halves"), codec)
    return {
        "shards_when_stopped": shards,
        "encoded_here_after": codec.num_encoded,
        "finished_equal": read_files(Path("halves")) == read_files(whole),
    }


def gone(files: Path) -> str:
    """A recording that vanishes is told as it is here."""
    original = ray_engine._absolute

    def unlink(entry):  # type: ignore[no-untyped-def]
        (files / "clip-09.wav").unlink(missing_ok=True)
        return original(entry)

    ray_engine._absolute = unlink
    try:
        run(files, Path("gone"), engine="ray")
    except DataError as error:
        return str(error)
    finally:
        ray_engine._absolute = original
    return ""


def main(root: Path) -> None:
    ray_engine.BLOCK_SIZE = 4
    preparation.CLIPS_PER_SHARD = 30
    files, rows = make_sources(root)
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    found: dict[str, object] = {"cpus": ray.cluster_resources()["CPU"]}
    try:
        prepare(files, "gpu", PrepareOptions(engine="ray", device="cuda"))
    except DataError as error:
        found["no_gpu"] = str(error)
    pids = root / "pids"
    pids.mkdir()
    open_engine = preparation.open_engine
    with RayEngine(SignedCodec(pids), PrepareOptions(engine="ray")) as engine:
        # One pool for all cases: to start one costs seconds.
        preparation.open_engine = lambda codec, options: (
            nullcontext(engine) if options.engine == "ray" else open_engine(codec, options)
        )
        look_at(files, rows, found)
    found["num_processes"] = len(list(pids.iterdir()))
    found["still_initialized"] = ray.is_initialized()
    ray.shutdown()
    print(json.dumps(found))  # noqa: T201
    os.chdir("/")
    shutil.rmtree(root)


def look_at(files: Path, rows: Path, found: dict[str, object]) -> None:
    for name, source in (("files", files), ("rows", rows)):
        local, far = (
            run(source, Path(f"{name}-local")),
            run(source, Path(f"{name}-ray"), engine="ray"),
        )
        found[name] = {
            "equal": read_files(Path(f"{name}-local")) == read_files(Path(f"{name}-ray")),
            "num_clips": far.info.num_clips,
            "rejections": far.rejections == local.rejections and len(far.rejections),
        }
    found |= stop_and_go_on(files, Path("files-local"))
    found["gone"] = gone(files)


main(Path(sys.argv[1]))
