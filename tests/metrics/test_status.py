"""What a command says while it works."""

from widths import terminal

from limae_jax.metrics.status import Status
from limae_jax.metrics.waiting import Compiling


def test_a_terminal_is_told_what_goes_on_and_for_how_long():
    console, shown = terminal(60)
    now = [0.0]
    with Status(console, lambda: now[0]) as status:
        status.update("loading [bold]runs/x")
        now[0] = 7.0
        assert status._line().plain == "0:07  loading [bold]runs/x"
        status.compiling(Compiling("battle", 20.0, 20.0))
        assert status._line().plain == "0:00  compiling battle (first time about 20 s)"
    assert "compiling battle" in shown.getvalue()


def test_a_pipe_is_told_nothing(capsys):
    with Status() as status:
        status.update("loading")
        status.compiling(Compiling("battle", None, 0.0))
    assert capsys.readouterr() == ("", "")
