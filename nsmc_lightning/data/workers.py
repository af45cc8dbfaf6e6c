"""Processes that build batches."""

import os
import signal
import sys
import threading


def obey_trainer_alone(worker: int) -> None:
    """Leaves signals from outside, as to a whole job, to the trainer to answer; called in each worker as it starts.

    A worker that died of one would end the run. The trainer itself ends its workers by a signal too: were that ignored,
    it would wait for them for ever.
    """
    if sys.platform == "linux":  # elsewhere a signal does not say who sent it
        signals = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        threading.Thread(target=_exit_for_trainer, args=(signals,), daemon=True).start()


def _exit_for_trainer(signals: set[signal.Signals]) -> None:
    while signal.sigwaitinfo(signals).si_pid != os.getppid():
        pass
    os._exit(0)
