"""Presigned uploads: what a request that is sent again makes of them."""

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
