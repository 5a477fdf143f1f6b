"""Drive one peer: ``python -m bench.peers.driver celery_tasks``.

Each line of standard input is JSON. An object prepares work, answered by ``{"ready": true}``; ``"go"`` carries it
out, answered by ``{"seconds": …, "times": […]}``. So the time excludes imports and the generation of rows.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable


def main() -> None:
    """Serve until standard input ends."""
    prepare = importlib.import_module(f"bench.peers.{sys.argv[1]}").prepare
    run: Callable[[], list[float]] = list
    for line in sys.stdin:
        asked = json.loads(line)
        if asked == "go":
            began = time.perf_counter()
            times = run()
            answer = {"seconds": time.perf_counter() - began, "times": times}
        else:
            run = prepare(**asked)
            answer = {"ready": True}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
