"""Where the `fovea` command starts."""

import signal

from cli.interrupts import ended_by_interrupts


def main() -> None:
    """Run the command; an interrupt ends it without a traceback at any time."""
    with ended_by_interrupts():
        from cli.main import app  # noqa: PLC0415 - Ctrl-C must end the imports too

    try:
        app()
    finally:
        # What is left is the interpreter's own end, which runs code of libraries.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
