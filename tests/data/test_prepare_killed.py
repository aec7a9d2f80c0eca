"""`kill -9` at any moment and the same command again: the same corpus, and no work done twice."""

import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_source import read_files, write_clip
from killed_run import CLIPS_PER_SHARD, codes_hash, run

from dialoom.data import PrepareOptions
from dialoom.data.encoding import AHEAD_PER_WORKER
from dialoom.data.shard import read_clips, shard_paths

NUM_CLIPS, NUM_KILLS = 64, 3


def _read_notes(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def test_killed_at_random_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times here; benchmarks/kills.py shoots the real command 20 times."""
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run"])
    source, out, notes = tmp_path / "source", tmp_path / "out", tmp_path / "notes"
    for i in range(NUM_CLIPS):
        write_clip(source, f"clip-{i:02d}", duration_s=0.2 + 0.02 * i)
    random_moments = random.Random(5)
    in_finished: Counter[str] = Counter()
    for _ in range(NUM_KILLS):
        noted = len(_read_notes(notes))
        process = context.Process(target=run, args=(str(source), str(out), str(notes)))
        process.start()
        more = random_moments.randrange(12, 20)
        while len(_read_notes(notes)) < noted + more and process.is_alive():
            time.sleep(0.002)
        time.sleep(random_moments.uniform(0.0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -9, "it was shot, and had not ended"
        again = Counter(_read_notes(notes)[noted:])
        assert not again & in_finished, "a clip of a finished shard was encoded again"
        clips = [clip for shard in shard_paths(out) for clip in read_clips(shard)]
        assert len(clips) % CLIPS_PER_SHARD == 0
        in_finished = Counter(codes_hash(clip.codes) for clip in clips)
    assert in_finished, "the shots came too early to show anything"
    run(str(source), str(out), str(notes))
    run(str(source), str(tmp_path / "whole"), str(tmp_path / "other-notes"))
    assert read_files(out) == read_files(tmp_path / "whole")
    in_work = PrepareOptions().workers * AHEAD_PER_WORKER
    assert len(_read_notes(notes)) <= NUM_CLIPS + NUM_KILLS * (CLIPS_PER_SHARD + in_work)
