"""A Whisper with random weights and one token a byte, in the files that transformers loads."""

from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|de|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|notimestamps|>",
]
NUM_TEXT_TOKENS = 256


def save_tiny_whisper(directory: Path, *, tells_times: bool = True, seed: int = 0) -> Path:
    """As the real one it is multilingual and has alignment heads, unless it tells no times."""
    tokenizer = _tokenizer()
    end, start, english, german, translate, transcribe, no_times = tokenizer.convert_tokens_to_ids(
        SPECIAL
    )
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            d_model=16,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_target_positions=24,
            pad_token_id=end,
            bos_token_id=end,
            eos_token_id=end,
            decoder_start_token_id=start,
            suppress_tokens=[],
            begin_suppress_tokens=[],
            init_std=0.5,
        )
    )
    settings = model.generation_config
    settings._from_model_config = False
    settings.is_multilingual = True
    settings.lang_to_id = {"<|en|>": english, "<|de|>": german}
    settings.task_to_id = {"transcribe": transcribe, "translate": translate}
    settings.no_timestamps_token_id = no_times
    settings.max_length = 20
    # Letters and spaces alone may be said, so that the text is one.
    said = {ord(c) for c in "abcdefghijklmnopqrstuvwxyz "}
    settings.suppress_tokens = [i for i in range(len(tokenizer)) if i not in said and i != end]
    if tells_times:
        settings.alignment_heads = [[1, 0], [1, 1]]
    model.save_pretrained(directory)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(directory)
    return directory


def _tokenizer() -> WhisperTokenizer:
    """Id = byte: GPT-2's alphabet writes unprintable bytes as letters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(NUM_TEXT_TOKENS) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(NUM_TEXT_TOKENS + i) for i, byte in enumerate(others)}
    vocabulary = {letters[byte]: byte for byte in range(NUM_TEXT_TOKENS)}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>", special=False) for i in range(1501)])
    return tokenizer
