"""``limpet demo``: runs the whole system on real servers and checks each result."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import click
import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from limpet.demo.bulk_import import ROWS, import_archive
from limpet.demo.expectations import UnexpectedError, expect, say, tell
from limpet.demo.files import show_files
from limpet.demo.samples import Sample, claims, follow_up
from limpet.embedded.running import running_stack
from limpet.http.client import BatchAnswer, Client
from schemas.answers import ItemStatus
from schemas.case_attachment import CaseAttachment

_WORKERS = 2
_FLOWER_SECONDS = 30.0  # for Flower, which learns of a task a moment after its end


@click.command()
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data in this new folder, for a look at it with: limpet up --data FOLDER",
)
def demo(keep: Path | None) -> None:
    """Start everything, send real files, show what comes back, stop everything.

    Uses free ports and a folder of its own. Ends with 0 only if all was as it should be.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.UsageError(f"{keep} is not empty; --keep takes a new folder.")
    began = time.monotonic()
    with _data_folder(keep) as data:
        say(1, f"Starting PostgreSQL, Valkey, SeaweedFS, API, {_WORKERS} workers, relay, beat, Flower (10 to 30 s)")
        with running_stack(data, workers=_WORKERS) as variables, Client.from_environment(variables) as client:
            tell(f"ready after {time.monotonic() - began:.1f} s: {variables['LIMPET_URL']}")
            tell(f"data in {data}")
            _tour(client, variables)
            say(8, f"A bulk import: an archive of {ROWS:,} rows and its scans, two of the rows bad")
            import_archive(variables, data / "archive")
            say(9, "Stopping")
        expect("that a process still runs", (data / "pids.json").exists(), wanted=False)
        tell("every process has ended" + (f"; limpet up --data {keep} brings them back" if keep else ""))
    click.secho(f"\nAll as it should be, {time.monotonic() - began:.0f} s in all.", bold=True)


@contextmanager
def _data_folder(keep: Path | None) -> Iterator[Path]:
    """Yield the data folder. A temporary one is removed, unless an error makes its logs worth reading."""
    data = keep or Path(mkdtemp(prefix="limpet-demo-"))
    is_removed = keep is None
    try:
        yield data
    except click.ClickException:
        is_removed = False
        click.echo(f"\nThe logs are in {data / 'logs'}", err=True)
        raise
    finally:
        if is_removed:
            rmtree(data)


def _tour(client: Client, variables: dict[str, str]) -> None:
    samples = claims()
    items = [sample.item() for sample in samples]
    count = len(items)
    with _open_flower(variables) as flower:
        _wait_for_count("Flower sees the workers", lambda: _count_workers(flower), _WORKERS)
        say(2, f"PUT /case-attachments-batch: {count} attachments of three insurance claims")
        _send(client, items, ["201 created"] * count)
        say(3, "The same again: what was created is updated now, nothing is doubled")
        _send(client, items, ["200 updated"] * count)
        say(4, "Three receipts, the second cut off on its way: it is refused, its neighbours are in")
        _send(client, follow_up(), ["201 created", "422 invalid", "201 created"])
        say(5, "Reading one back: GET /case-attachments/{key}/content")
        _read_back(client, max(samples, key=lambda sample: len(sample.content or b"")))
        say(6, "File actions on an item: a delete and a NEW-ONLY in one UpdateFileAttachments")
        actions = show_files(variables)
        say(7, "Flower, where the machinery can be watched: each item was a Celery task of its own")
        # An item that the API finds invalid never becomes a task.
        _show_flower(flower, variables, 2 * count + 2 + actions)


def _send(client: Client, items: Sequence[CaseAttachment], wanted: Sequence[str]) -> None:
    """Send one batch, show its 207, and check its ends against ``wanted``."""
    began = time.monotonic()
    answer = client.put_batch(items)
    seconds = time.monotonic() - began
    report = answer.report
    _print_table(items, report.data)
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report.batch.counts.items())
    tell(f"{counts}; Batch-Outcome: {answer.outcome}")
    check(answer, wanted)
    batch = client.batch(report.batch.id)
    expect("the batch's counts", batch.counts, report.batch.counts)
    assert batch.finished_at is not None, "so it says in its state"
    worked = (batch.finished_at - batch.accepted_at).total_seconds()
    tell(f"{answer.status} after {1000 * seconds:.0f} ms, {1000 * worked:.0f} ms of it between accepted and finished")


def check(answer: BatchAnswer, wanted: Sequence[str]) -> None:
    """Check that the batch has finished and its items ended as ``wanted`` ("201 created" and the like).

    Raises:
        UnexpectedError: something differs.

    """
    statuses = answer.report.data
    has_invalid = any("invalid" in end for end in wanted)
    expect("the answer's status", answer.status, 207)
    expect("the batch's state", answer.report.batch.state, "finished")
    expect("how the items ended", [f"{item.status} {item.outcome}" for item in statuses], list(wanted))
    expect("the positions", [item.position for item in statuses], list(range(len(wanted))))
    expect("Batch-Outcome", answer.outcome, "partial" if has_invalid else "complete")
    expect("which items say what is wrong", [bool(item.errors) for item in statuses], ["422" in end for end in wanted])


def _print_table(items: Sequence[CaseAttachment], statuses: Sequence[ItemStatus]) -> None:
    tell(f"{'pos':>3}  {'key':<6}  {'file':<26}  {'bytes':>9}  status  outcome")
    for item, status in zip(items, statuses, strict=True):
        row = f"{status.position:>3}  {status.id[0].value:<6}  {item.attachment_file:<26}  {_size(item.attachment):>9}"
        tell(f"{row}  {status.status:>6}  {status.outcome}")
        if status.errors:
            tell(f"{'':>3}  {status.body}")


def _size(base64: str | None) -> str:
    return "-" if base64 is None else f"{len(base64) * 3 // 4 - base64.count('='):,}"


def _read_back(client: Client, sample: Sample) -> None:
    sent = hashlib.sha256(sample.content or b"").hexdigest()
    content = client.content(sample.key)
    tell(f"{sample.file}: {content.size:,} bytes, SHA-256 {content.sha256[:16]}...")
    expect("the SHA-256 of what came back", content.sha256, sent)
    expect("the file name of its record", client.record(sample.key).attachment_file, sample.file)
    tell("the same bytes as were sent")


class _Worker(BaseModel):
    status: bool


class _Workers(BaseModel):
    data: list[_Worker]


class _Task(BaseModel):
    result: str | None


_tasks = TypeAdapter(dict[str, _Task])


@contextmanager
def _open_flower(variables: dict[str, str]) -> Iterator[httpx.Client]:
    login = (variables["LIMPET_USER"], variables["LIMPET_PASSWORD"])
    url = variables["LIMPET_FLOWER_URL"]
    with httpx.Client(base_url=url, auth=login, timeout=10, trust_env=False) as http:
        try:
            yield http
        except (httpx.HTTPError, ValidationError) as error:
            raise UnexpectedError(f"Flower at {url} does not answer as it should: {error}") from error


def _count_workers(flower: httpx.Client) -> int:
    """Return how many workers Flower knows; it misses the tasks of unknown ones."""
    answer = flower.get("workers", params={"json": "1"}).raise_for_status()
    return sum(worker.status for worker in _Workers.model_validate_json(answer.content).data)


def _count_deliveries(flower: httpx.Client) -> int:
    """Return how many tasks succeeded and found work; a task delivered twice finds none the second time."""
    query = {"taskname": "limpet.deliver", "state": "SUCCESS"}
    answer = flower.get("api/tasks", params=query).raise_for_status()
    return sum(task.result != "'nothing to do'" for task in _tasks.validate_json(answer.content).values())


def _show_flower(flower: httpx.Client, variables: dict[str, str], wanted: int) -> None:
    tell(f"{variables['LIMPET_FLOWER_URL']} (its login: LIMPET_USER and LIMPET_PASSWORD of client.env)")
    _wait_for_count("Flower's count of tasks that succeeded", lambda: _count_deliveries(flower), wanted)
    tell(f"{wanted} tasks limpet.deliver succeeded, as many as items were carried out")


def _wait_for_count(what: str, count: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + _FLOWER_SECONDS
    while (last := count()) < wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    expect(what, last, wanted)
