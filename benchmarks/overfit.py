"""Does a model that learnt clips by heart say them back? Greedy, without guidance.

    python benchmarks/overfit.py MODEL CORPUS [--max-seconds 6]

Prints for every training clip how many of its channel-0 codes the speech repeats at their places,
its length against the clip's, and whether it ended by itself.
"""

import argparse

import numpy as np

from dialoom.data import Corpus, DiaDataset
from dialoom.generate import SamplingSettings, Synthesizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("corpus")
    parser.add_argument("--max-seconds", type=float)
    arguments = parser.parse_args()

    corpus = Corpus.open(arguments.corpus)
    dataset = DiaDataset(corpus, split="train", max_seconds=arguments.max_seconds)
    clips = [dataset[index] for index in range(len(dataset))]
    longest = max(dataset.lengths) / corpus.info.codec.frames_per_second
    settings = SamplingSettings(temperature=0, cfg_scale=0, max_seconds=1.5 * longest)
    synthesizer = Synthesizer.load(arguments.model)
    passed = 0
    for clip in clips:
        speech = synthesizer.synthesize([clip.text], settings, language=clip.language)[0]
        expected, said = clip.codes.frames, speech.codes.frames
        shared = min(len(expected), len(said))
        agreement = float((expected[:shared, 0] == said[:shared, 0]).sum()) / len(expected)
        ratio = len(said) / len(expected)
        good = agreement >= 0.9 and speech.stopped and abs(ratio - 1) <= 0.1
        passed += good
        whole = float(np.mean(expected[:shared] == said[:shared])) if shared else 0.0
        print(
            f"{clip.id:>20}  channel 0 {agreement:7.2%}  all channels {whole:7.2%}  "
            f"length {ratio:5.2f}  {'stopped' if speech.stopped else 'ran on'}  "
            f"{'ok' if good else 'NOT OK'}"
        )
    print(f"{passed} of {len(clips)} said back")


if __name__ == "__main__":
    main()
