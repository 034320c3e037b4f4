"""Keeping exporters' talk from people's terminals.

torch, onnxscript and ONNX Runtime's quantiser warn about their own parts (a torchvision that is not
installed, functions that will be removed), which says nothing about the network. What goes wrong is still an
exception.
"""

import io
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Generator[None]:
    """No warnings, no log lines below an error and nothing on standard output, until the end of the block."""
    before = logging.root.manager.disable
    try:
        # torch gives each of its loggers a level of its own, so only the switch for all of them is sure.
        logging.disable(logging.WARNING)
        # The quantiser prints.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
