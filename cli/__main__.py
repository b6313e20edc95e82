"""Where the `fovea` command starts."""

import signal


def main() -> None:
    """Run the command; an interrupt ends it without a traceback at any time."""
    at_work = signal.getsignal(signal.SIGINT)
    _end_at_interrupt(at_work)
    from cli.main import app  # noqa: PLC0415 - the imports take a second, and Ctrl-C must end them too

    signal.signal(signal.SIGINT, at_work)
    try:
        app()
    finally:
        _end_at_interrupt(at_work)


def _end_at_interrupt(at_work: object) -> None:
    # A parent may have made the command ignore interrupts; that stays so.
    if at_work is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
