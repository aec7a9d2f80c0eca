"""Everything that dialoom raises on purpose.

    DialoomError                    caught in one place, the command line
    └── UserError                   the person can mend it: exit status 2, one line, no traceback
        ├── AudioError              a file that is no audio, is empty, silent or too short
        ├── TextError               a transcript that is missing, empty or does not fit
        ├── CodecError              an unknown codec, codes of another codec, damaged codec weights
        ├── DataError               a source or corpus that cannot be read or does not match
        ├── RecipeError             a setting that is unknown or out of range
        ├── CheckpointError         a model that is damaged, incomplete or not what it should be
        │   └── RevisionMissing     it does not say whose mathematics its weights are for
        ├── GenerationError         a request to speak that cannot be met
        ├── MissingExtra            something asked for needs a package that is not installed
        └── TrainingError           a training that cannot go on
            └── TrainingDiverged    the loss or its gradients stopped being numbers

Whoever raises a UserError writes the whole sentence: what, where, which value, what to do.
Broken invariants inside the library are asserts, not members of this tree.
"""


class DialoomError(Exception):
    """Root of the tree."""


class UserError(DialoomError):
    """A person can mend this; the message is one line that says how."""


class AudioError(UserError):
    """Audio that cannot be used."""


class TextError(UserError):
    """Text that cannot be used."""


class CodecError(UserError):
    """A codec that cannot be loaded, or codes that it did not make."""


class DataError(UserError):
    """A source or corpus that cannot be used."""


class RecipeError(UserError):
    """A setting that cannot be used."""


class CheckpointError(UserError):
    """A model directory or file that cannot be used."""


class RevisionMissing(CheckpointError):
    """A model that does not say which revision of Dia it is of."""


class GenerationError(UserError):
    """A request to speak that cannot be met."""


class MissingExtra(UserError):
    """A package of an extra is not installed.

    Args:
        purpose: what it is wanted for.
        package: that is missing.
        extra: of dialoom, which brings it.
    """

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}; run: pip install 'dialoom[{extra}]'")


class TrainingError(UserError):
    """Training cannot go on."""


class TrainingDiverged(TrainingError):
    """Training cannot go on because its numbers are not finite."""
