"""The program: ``imgtranslate``, or ``python -m imgtranslate``."""

import signal


def main() -> None:
    """Run the command line of this process.

    While its modules load, Ctrl-C ends the process at once: an exception would show a traceback
    from the middle of an import, or get lost there.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from imgtranslate.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
