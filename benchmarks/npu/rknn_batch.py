"""Compiles many models with RKNN-Toolkit2, imported once: started by ``rknn_truth.py`` in the toolkit's interpreter.

``python rknn_batch.py CHILD OUT PLATFORM PRECISION MODEL...``: each model in a fork of its own, its log in
``OUT/NAME.log`` with the exit status (negative for a signal) on the last line. A log that is there is kept.
"""

import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType

LIMIT_S = 60


def main(child_file: str, out: str, platform: str, precision: str, *models: str) -> None:
    from rknn.api import RKNN  # noqa: F401  # once for all forks

    child = loaded(child_file)
    Path(out).mkdir(parents=True, exist_ok=True)
    for model in models:
        log = Path(out).resolve() / f"{Path(model).stem}.log"
        if log.exists():
            continue
        process = os.fork()
        if process == 0:
            compile_one(child, Path(model).resolve(), log, platform, precision)
        status = os.waitpid(process, 0)[1]
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        with log.open("a") as words:
            words.write(f"\nENDED {code}\n")


def loaded(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("child", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_one(child: ModuleType, model: Path, log: Path, platform: str, precision: str) -> None:
    """In the fork: never returns."""
    code = 1
    try:
        signal.alarm(LIMIT_S)
        words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(words, 1)
        os.dup2(words, 2)
        os.chdir(tempfile.mkdtemp())
        child.main(str(model), platform, precision, "nodes.json")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
