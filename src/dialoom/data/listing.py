"""The clips that a source gives: listed, cut, transcribed, joined; nothing is encoded yet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dialoom.audio.speech import SileroDetector
from dialoom.audio.transcribe import WINDOW_S, WhisperTranscriber
from dialoom.data.clip import Rejection, SourceClip
from dialoom.data.dialogue import assemble_dialogue
from dialoom.data.encoding import PrepareOptions
from dialoom.data.entries import Entry, Untranscribed
from dialoom.data.listening import Listener, ProgressCallback, listen
from dialoom.data.sources import list_source, settle
from dialoom.errors import DataError


def list_clips(
    source: str | Path,
    out: str | Path,
    options: PrepareOptions,
    *,
    listener: Listener | None = None,
    progress: ProgressCallback | None = None,
) -> list[Entry]:
    """In an order and with ids that depend on the source and the options alone.

    Args:
        source: anything `open_source` reads.
        out: the corpus, which keeps what is heard.
        options: how.
        listener: takes the place of the one that the options name.
        progress: hears how many recordings are cut and transcribed.

    Raises:
        DataError: the source cannot be read, or its recordings are to be cut and have no
            transcripts.
        MissingExtra: what listens is not installed.
        AudioError: the recogniser cannot be loaded.
    """
    listed = list_source(source, format=options.format, columns=options.columns)
    entries = [fill_in(entry, options) for entry in listed]
    untold = [entry for entry in entries if isinstance(entry, Untranscribed)]
    if untold:
        listener = listener or _listener(source, untold, options)
    if untold and listener is not None:
        entries = list(listen(entries, listener, Path(out), progress=progress))
    if options.dialogue is not None:
        entries = list(assemble_dialogue(entries, options.dialogue))
    return list(settle(entries))


def fill_in(entry: Entry, options: PrepareOptions) -> Entry:
    """Language and speaker of the options, where the source names none."""
    if isinstance(entry, Untranscribed):
        return replace(entry, recording=_named(entry.recording, options))
    return entry if isinstance(entry, Rejection) else _named(entry, options)


def _named(clip: SourceClip, options: PrepareOptions) -> SourceClip:
    return replace(
        clip,
        language=clip.language or options.language,
        speaker=clip.speaker or options.speaker,
    )


def _listener(
    source: str | Path, untold: Sequence[Untranscribed], options: PrepareOptions
) -> Listener | None:
    """None where recordings without transcripts are to be left out."""
    if options.asr_model is None:
        if options.split_long is None:
            return None
        raise DataError(
            f"source {source}: {len(untold)} recordings have no transcript, the first: "
            f"{untold[0].source}; add --asr-model openai/whisper-large-v3-turbo, which transcribes "
            "their pieces (pip install 'dialoom[asr]'), or list parts with start, end and text"
        )
    if options.split_long is None:
        return Listener(WhisperTranscriber(options.asr_model))
    if options.split_long.max_s > WINDOW_S:
        raise DataError(
            f"--max-seconds {options.split_long.max_s:g}: the recogniser hears {WINDOW_S:g} s at "
            "once; choose no more"
        )
    detector = SileroDetector()
    return Listener(WhisperTranscriber(options.asr_model), detector, options.split_long)
