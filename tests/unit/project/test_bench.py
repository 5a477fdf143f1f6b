import itertools
import json
import xml.etree.ElementTree as ET

from bench.report.lines import Goal, Line, table, three_digits
from bench.report.plots import goals, rates
from bench.rows import bodies, record, row
from schemas.case_attachment import CaseAttachment
from worker.tables.metadata import METADATA
from worker.tables.records import CaseAttachmentTable as Table


def test_a_ratio_is_the_median_of_the_rounds_each_by_its_own_peer() -> None:
    line = Line(1, "rate", "items/s", ours=[100, 300, 200], peer=[10, 100, 10], goal=Goal("≥", 5))
    assert line.ratios == [10, 3, 20]
    assert line.ratio == 10
    assert line.reached


def test_a_goal_of_less_is_missed_by_more() -> None:
    line = Line(5, "latency", "ms", ours=[12.0], peer=[10.0], goal=Goal("≤", 1))
    assert line.reached is False
    assert "MISSED" in table([line])


def test_the_worst_round_counts_where_there_is_no_peer() -> None:
    assert Line(7, "growth", "MB", ours=[10, 65, 20], goal=Goal("≤", 64)).reached is False


def test_without_a_goal_nothing_is_reached_or_missed() -> None:
    line = Line(9, "two workers", "items/s", ours=[2.0], peer=[1.0])
    assert line.reached is None
    assert line.cells()[-1] == ""


def test_figures_show_the_digits_that_matter() -> None:
    assert [three_digits(n) for n in (0.12345, 7.0, 99.94, 12345.6)] == ["0.123", "7", "99.9", "12,346"]


def test_every_candidate_gets_the_same_record() -> None:
    sent, kept = CaseAttachment.model_validate(record(7)), row(7)
    assert set(kept) == {column.name for column in Table.__table__.columns}
    for name in ("case_attachment_key", "case_key", "attachment_file", "case_attachment_type", "comment"):
        assert getattr(sent, name) == kept[name]


def test_bodies_use_each_key_once() -> None:
    keys = [item["caseAttachment_Key"] for body in bodies(5, 3, 4) for item in json.loads(body)]
    assert keys == list(itertools.islice(itertools.count(5), 12))


def test_plots_are_well_formed() -> None:
    line = Line(1, "a < b & c", "items/s", ours=[2.0], peer=[1.0], goal=Goal("≥", 1))
    for plot in (goals([line]), rates({"Limpet": 9000, "(a) <Celery>": 300})):
        assert ET.fromstring(plot).tag.endswith("svg")


def test_the_peers_schema_has_the_table_they_write_to_and_the_one_a_copy_goes_to() -> None:
    assert {"case_attachment", "item"} <= set(METADATA.tables)
