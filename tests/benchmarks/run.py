"""``make benchmark``: us and the peers in turns on the same reviews, weights, recipe and threads → RESULTS.md.

    python tests/benchmarks/run.py [--quick] [--reviews FILE] [--backbone FOLDER] [--rounds 3] [--threads N]

Every measurement has a process of its own; which contender goes first rotates from round to round.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from contenders import Job
from machine import bfloat16_products
from plan import Plan, make_plan
from report import Results, write_report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_TIME_LIMIT = 1800  # seconds a contender


def main() -> None:
    """Measures everything and writes the report."""
    options = _options()
    threads = options.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        plan = make_plan(
            options.reviews, options.backbone, Path(folder), threads, options.quick, tuple(options.precision)
        )
        results = Results(plan.rounds if options.rounds is None else options.rounds)
        for number in range(results.rounds):
            _take_turns(plan, number, results)
        _measure_once(plan, results)
        results.start_up = _start_up(results.rounds)
    write_report(plan, results, threads, options.output)
    print(f"written: {options.output}")


def _options() -> argparse.Namespace:
    shared = Path(os.environ.get("NSMC_SHARED", ROOT.parent / "shared"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: does it work at all?")
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=["32-true", "bf16-mixed"],
        default=["32-true", *(["bf16-mixed"] if bfloat16_products() else [])],
        help="on a CPU; by default float32, and bf16-mixed if the processor has bfloat16 products",
    )
    parser.add_argument("--rounds", type=int, help="how often each contender runs; 3, or 1 with --quick")
    parser.add_argument("--threads", type=int, help="of each contender; all cores by default")
    parser.add_argument(
        "--reviews", type=Path, default=shared / "nsmc" / "ratings_train.txt", help="laid out as NSMC's"
    )
    parser.add_argument("--backbone", type=Path, default=shared / "models" / "e5-small-ko", help="pretrained, if any")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    if not options.reviews.is_file():
        parser.error(f"no reviews at {options.reviews}: give --reviews FILE, NSMC's ratings_train.txt.")
    return options


def _take_turns(plan: Plan, number: int, results: Results) -> None:
    jobs = plan.jobs
    first = number * len(jobs) // results.rounds
    for i, job in enumerate(jobs[first:] + jobs[:first]):
        print(f"round {number + 1}/{results.rounds}, {i + 1}/{len(jobs)}: ", end="", flush=True)
        results.add(job, run_job(job))


def _measure_once(plan: Plan, results: Results) -> None:
    for job in plan.single:
        results.add(job, run_job(job))


def run_job(job: Job) -> dict[str, object]:
    """Runs a job in a process of its own and gives its result; a failed one is said and does not stop the others."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        "OMP_NUM_THREADS": str(job.threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
    }
    print(f"{job.contender}, {Path(job.backbone).name}, batch {job.batch_size}", end="", flush=True)
    start = time.perf_counter()
    command = [sys.executable, str(HERE / "contenders.py"), json.dumps(asdict(job))]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT)
    except subprocess.TimeoutExpired:
        print(f" … no result within {_TIME_LIMIT} s")
        return {"error": f"no result within {_TIME_LIMIT} s"}
    if done.returncode != 0:
        print(f" … failed:\n{done.stderr}")
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    said = f"{result['reviews_per_second']:.1f} reviews/s, " if "reviews_per_second" in result else ""
    print(f": {said}{time.perf_counter() - start:.0f} s in all")
    return result


def _start_up(rounds: int) -> dict[str, list[float]]:
    """Seconds of commands that only answer, each in a fresh process."""
    libraries = "import lightning.pytorch, lightning.pytorch.cli, torchmetrics, transformers"
    commands = {
        "`python -m nsmc_lightning --help`": ["-m", "nsmc_lightning", "--help"],
        "`python -m nsmc_lightning fit --help`": ["-m", "nsmc_lightning", "fit", "--help"],
        f"`{libraries}`": ["-c", libraries],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
