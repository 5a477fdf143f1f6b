"""Presigned uploads: what a request that is sent again makes of them."""

from concurrent.futures import ThreadPoolExecutor

import httpx
from support.case_attachments import fresh_keys, item, put, statuses


def test_a_request_that_is_sent_again_takes_no_upload(client: httpx.Client) -> None:
    one, two = fresh_keys(2)
    upload = client.post("/uploads").json()
    named = {"attachment": upload["attachment"]}
    first = put(client, [item(one, **named)], **{"Idempotency-Key": f"upload {one}"})
    assert statuses(first) == [422], "no content yet"
    assert httpx.put(upload["url"], content=b"late").status_code == 200
    again = put(client, [item(one, **named)], **{"Idempotency-Key": f"upload {one}"})
    assert again.json() == first.json()
    assert statuses(put(client, [item(two, **named)])) == [201]


def test_two_batches_that_name_the_same_uploads_in_opposite_order_do_not_deadlock(client: httpx.Client) -> None:
    for _ in range(5):
        opened = [client.post("/uploads").json() for _ in range(6)]
        for upload in opened:
            assert httpx.put(upload["url"], content=upload["id"].encode()).status_code == 200
        names = [upload["attachment"] for upload in opened]
        orders = [names, names[::-1]]
        with ThreadPoolExecutor(2) as pool:
            sent = [[item(key, attachment=name) for key, name in zip(fresh_keys(6), o, strict=True)] for o in orders]
            answers = list(pool.map(lambda items: put(client, items), sent))
        ends = sorted(status for answer in answers for status in statuses(answer))
        assert ends == [201] * 6 + [422] * 6, "each upload is used once, and nothing is refused as unavailable"
