"""Every id, mask and target of one small batch, written out by hand from the rules of Dia.

Delays [0, 1, 2]; codes 0–9, EOS 10, PAD 11, BOS 12. The frames of "long" are (1 2 3) and (4 5 6),
"short" has one frame (0 0 0): code 0 is a real code.

    long     step  0    1    2    3    4    5         short    step  0    1    2    3    4
    channel 0     BOS   1    4   EOS  PAD  PAD        channel 0     BOS   0   EOS  PAD  PAD
    channel 1     BOS  BOS   2    5   EOS  PAD        channel 1     BOS  BOS   0   EOS  PAD
    channel 2     BOS  BOS  BOS   3    6   EOS        channel 2     BOS  BOS  BOS   0   EOS

Inputs are all steps but the last, targets all but the first; the short clip gets a row of padding.
"""

import numpy as np

from dialoom.codec import Codes
from dialoom.data import Clip, collate
from dialoom.sequence import IGNORE_INDEX, TokenLayout
from dialoom.text import TagTable

EOS, PAD, BOS = 10, 11, 12
LAYOUT = TokenLayout(
    delay_pattern=(0, 1, 2), codebook_size=10, eos_id=EOS, pad_id=PAD, bos_id=BOS, vocab_size=13
)
____ = IGNORE_INDEX


def _clip(clip_id: str, text: str, language: str | None, frames: list[list[int]]) -> Clip:
    return Clip(clip_id, text, language, None, Codes(np.array(frames, np.uint16)))


def test_golden_batch() -> None:
    batch = collate(
        [
            _clip("long", "[S1] Hi", None, [[1, 2, 3], [4, 5, 6]]),
            _clip("short", "[S2] é", "fr", [[0, 0, 0]]),
        ],
        layout=LAYOUT,
        tags=TagTable.default(),
        frames_per_second=2.0,
    )
    assert batch.text_BS.tolist() == [
        [1, 32, 72, 105, 0],
        [5, 2, 32, 0xC3, 0xA9],
    ]
    assert batch.text_mask_BS.tolist() == [
        [True, True, True, True, False],
        [True, True, True, True, True],
    ]
    assert batch.audio_BTC.tolist() == [
        [[BOS, BOS, BOS], [1, BOS, BOS], [4, 2, BOS], [EOS, 5, 3], [PAD, EOS, 6]],
        [[BOS, BOS, BOS], [0, BOS, BOS], [EOS, 0, BOS], [PAD, EOS, 0], [PAD, PAD, PAD]],
    ]
    assert batch.targets_BTC.tolist() == [
        [[1, ____, ____], [4, 2, ____], [EOS, 5, 3], [____, EOS, 6], [____, ____, EOS]],
        [[0, ____, ____], [EOS, 0, ____], [____, EOS, 0], [____, ____, EOS], [____, ____, ____]],
    ]
    assert batch.audio_mask_BT.tolist() == [
        [True, True, True, True, True],
        [True, True, True, True, False],
    ]
    assert batch.num_targets == 9 + 6
    assert batch.clip_ids == ("long", "short")
    assert batch.audio_seconds == 1.5
