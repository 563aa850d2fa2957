"""What the tests of training use too."""

from tests.learn.conftest import make_pairs, one_thread, tiny_encoder

__all__ = ["make_pairs", "one_thread", "tiny_encoder"]
