"""The doctor's table of rules; the checks that find them are in doctor_text.py and doctor_sound.py.

"bad" is what spoils a model, "note" is what one should know of. A clean corpus has nothing bad.
"""

from dialoom.evaluate.doctor_findings import Rule

RULES = (
    # ── entries ──
    Rule(
        "missing-audio",
        "bad",
        "text",
        "recordings that are not there",
        "correct the paths, or remove the entries",
    ),
    Rule("empty-text", "bad", "text", "no transcript", "write what is said, or remove the clips"),
    Rule("refused", "bad", "text", "entries that cannot be used", "mend them as each one says"),
    Rule(
        "left-out",
        "note",
        "text",
        "entries that `prepare` left out",
        "rejected.jsonl names the reason of each; mend them and prepare again",
    ),
    Rule(
        "unreadable-audio",
        "bad",
        "text",
        "recordings that cannot be read",
        "export them again as wav or flac, or remove them",
    ),
    Rule("no-train", "bad", "text", "nothing to train on", "prepare with less --valid-fraction"),
    Rule(
        "no-valid",
        "note",
        "text",
        "nothing to validate with",
        "prepare with a larger --valid-fraction: without it nobody sees a model learn by heart",
    ),
    # ── lengths ──
    Rule(
        "over-steps",
        "bad",
        "text",
        "longer than the model holds",
        "split the clips and their transcripts at pauses, into 5 to 20 s",
    ),
    Rule(
        "over-bytes",
        "bad",
        "text",
        "transcripts longer than the model reads",
        "split the clips and their transcripts",
    ),
    Rule(
        "near-bytes",
        "note",
        "text",
        "transcripts that nearly fill the model's limit",
        "shorter clips leave room; a script of several bytes a letter meets the limit early",
    ),
    Rule(
        "multi-byte",
        "note",
        "text",
        "scripts of several bytes a letter",
        "they meet the limit of bytes early: keep the clips short",
    ),
    Rule(
        "too-short", "bad", "text", "shorter than a word", "remove them, or join them with others"
    ),
    Rule(
        "long",
        "note",
        "text",
        "longer than the model speaks well",
        "it learns best from 5 to 20 s: split them at pauses",
    ),
    Rule(
        "over-recipe",
        "note",
        "never",
        "beyond a limit of the recipe, which leaves them out",
        "split them, or raise data.max_seconds or data.max_text_bytes in the recipe",
    ),
    Rule(
        "few-hours",
        "note",
        "text",
        "little speech in all",
        "half an hour carries a voice to LoRA; a language needs many hours",
    ),
    # ── transcript and sound together ──
    Rule(
        "text-too-long",
        "bad",
        "text",
        "far more text than so short a sound can say",
        "listen: the transcript is of another clip, or the recording was cut",
    ),
    Rule(
        "text-too-short",
        "bad",
        "text",
        "far less text than so long a sound should say",
        "listen: words are missing in the transcript, or the clip is mostly silence",
    ),
    Rule(
        "duplicate-audio",
        "bad",
        "text",
        "the same sound more than once",
        "keep one of each, the one whose transcript is right",
    ),
    Rule(
        "duplicate-text",
        "note",
        "text",
        "the same transcript more than once",
        "fine where it was said more than once; else keep one of each",
    ),
    # ── transcripts ──
    Rule(
        "control-characters",
        "bad",
        "text",
        "control or broken characters in transcripts",
        "remove them: such bytes are tags to the model",
    ),
    Rule(
        "mojibake",
        "bad",
        "text",
        "transcripts that were read in the wrong encoding",
        "export the table again as UTF-8",
    ),
    Rule(
        "odd-characters",
        "note",
        "text",
        "characters that nobody speaks",
        "remove emoji, markup and invisible characters, or write what is said",
    ),
    Rule(
        "unknown-tag",
        "bad",
        "text",
        "tags that no byte stands for, read letter by letter",
        "give them bytes by model.tags in the recipe, or remove them",
    ),
    Rule("no-tag", "note", "text", "no speaker named", "begin with [S1]: else the voice is random"),
    Rule(
        "not-first-speaker",
        "note",
        "text",
        "scripts that do not begin with [S1]",
        "call whoever speaks first [S1]: so Dia was trained",
    ),
    Rule(
        "same-speaker-twice",
        "note",
        "text",
        "one speaker twice in a row",
        "join the turns: in Dia's scripts the speakers alternate",
    ),
    Rule(
        "one-speaker",
        "note",
        "text",
        "no clip has a second speaker",
        "fine for one voice; a model trained so forgets dialogue, so mix some in to keep it",
    ),
    Rule(
        "unknown-nonverbal",
        "note",
        "text",
        "sounds in round brackets that Dia does not know",
        "write them as Dia does, such as (laughs), or expect to need many examples",
    ),
    # ── balance ──
    Rule(
        "language-without-tag",
        "note",
        "text",
        "languages that no byte stands for",
        "give them bytes by model.tags in the recipe, if the model shall tell them apart",
    ),
    Rule(
        "languages-uneven",
        "note",
        "text",
        "languages with far less speech than others",
        "weight the corpora in the recipe, or record more",
    ),
    Rule(
        "speakers-uneven",
        "note",
        "text",
        "speakers with far less speech than others",
        "the model will hardly learn their voices: record more, or leave them out",
    ),
    # ── sound ──
    Rule(
        "not-heard", "note", "never", "sound was not examined", "mend what is named and look again"
    ),
    Rule("silent", "bad", "sound", "nothing to hear", "remove them, or record them again"),
    Rule(
        "mostly-silence",
        "note",
        "sound",
        "more silence than speech",
        "cut the pauses, or split the clips there",
    ),
    Rule(
        "edge-silence",
        "note",
        "sound",
        "long silence at the edges",
        "trim it to 0.2 s: the model learns to wait, and not to end",
    ),
    Rule(
        "clipping",
        "bad",
        "sound",
        "clipped recordings",
        "take the recordings before they were amplified; turning down mends nothing",
    ),
    Rule(
        "loudness",
        "note",
        "sound",
        "much louder or quieter than the others",
        "normalise the loudness before you prepare",
    ),
    Rule(
        "narrow-band",
        "bad",
        "sound",
        "telephone sound, whatever the sample rate says",
        "take the originals: what lies above 4 kHz is lost, and the model learns that",
    ),
    Rule(
        "targets-differ",
        "bad",
        "targets",
        "training targets that are not the clip's codes",
        "this is a fault of dialoom: report it with the clip",
    ),
)
