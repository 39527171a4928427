"""How a demo is told to end: by Ctrl-C, by a terminal that closes, by whoever stops processes.

The event loop takes the signals, so none is raised in the middle of what happens to run. The first one ends what the
demo is at, wherever it next waits. All further ones are heard and change nothing: what was started is stopped and what
was written is taken away, and that must not be given up halfway. It takes a bounded time, see ``server``.
"""

import asyncio
import signal
from types import TracebackType
from typing import Final, NoReturn, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Leaving:
    """For the length of a ``with`` block in a task, the first signal ends that task's work, and the block quietly."""

    def __init__(self) -> None:
        self.told: signal.Signals | None = None
        """Which signal came first, if any did."""

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        for number in _heard():
            task.get_loop().add_signal_handler(number, self._signalled, number, task)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Be deaf from here on: little is left to do. What stumbles while the demo leaves is not spoken of."""
        for number in _heard():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        return self.told is not None

    def _signalled(self, number: signal.Signals, task: asyncio.Task[object]) -> None:
        if self.told is None:
            self.told = number
            task.cancel()

    def leave(self) -> NoReturn:
        """End as the command line expects it: an interrupt, or the exit code of a signal."""
        if self.told is None or self.told is signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.told)


def _heard() -> list[signal.Signals]:
    """Leave out a hangup that whoever started us has us ignore, as ``nohup`` does.

    A shell has jobs in the background ignore interrupts as well; who sends us one nevertheless means us.
    """
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if not (deaf and number is signal.SIGHUP)]
