"""Text of messages: printable and short, whatever was given."""

import pytest

from limae_jax.checks import one_line, printable, shorten


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("bell\a", "bell\\x07"),
        ("lone \udc80", "lone \\udc80"),
        ("next\x85line", "next\\x85line"),
        ("right to left \u202e", "right to left \\u202e"),
        ("Ünïcode 名", "Ünïcode 名"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_one_line_keeps_spaces_and_loses_line_breaks():
    assert one_line("a\n  b\tc\x1b") == "a b c\\x1b"


def test_a_long_text_keeps_both_ends():
    text = shorten("begin" + "x" * 500 + "end", 100)
    assert len(text) == 100
    assert text.startswith("begin") and text.endswith("end") and " ... " in text
    assert shorten("x" * 100, 100) == "x" * 100
