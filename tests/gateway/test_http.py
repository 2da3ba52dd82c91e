"""REST on the public port: routing, events, answers, deadlines, limits, ids and what is logged."""

import asyncio
import json
from contextlib import suppress

import pytest

from tests.gateway.stub_app import stub
from tests.gateway.support import parse, running, until

NOT_FOUND = b'{"code":404,"errno":999,"error":{"code":1001,"message":"Resource not found"}}'


def test_a_request_reaches_the_app_as_api_gateway_s_event() -> None:
    async def main() -> None:
        async with running() as gateway:
            headers = {
                "X-CuStOm": "1",
                "x-foyer-front": "forged",
                "X-Forwarded-For": "9.9.9.9",
                "User-Agent": "me",
            }
            status, answered, body = await gateway.request(
                "POST", "/echo/a%20b/?q=1&q=2&e=", headers, "füße".encode()
            )
            event = json.loads(body)
        assert status == 200
        assert answered["x-request-id"] == event["requestContext"]["requestId"]
        assert (event["resource"], event["path"], event["httpMethod"]) == (
            "/echo/{name}",
            "/echo/a%20b/",
            "POST",
        )
        assert event["pathParameters"] == {"name": "a%20b"}
        assert event["queryStringParameters"] == {"q": "2", "e": ""}
        assert event["multiValueQueryStringParameters"] == {"q": ["1", "2"], "e": [""]}
        assert (event["headers"]["X-CuStOm"], event["multiValueHeaders"]["X-CuStOm"]) == ("1", ["1"])
        assert "x-foyer-front" not in event["headers"]
        assert event["headers"]["X-Forwarded-For"] == "127.0.0.1"
        assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
        assert event["requestContext"]["identity"]["userAgent"] == "me"
        assert (event["body"], event["isBase64Encoded"]) == ("füße", False)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("kind", "sent", "body", "encoded"),
    [
        ("application/octet-stream", b"\x00\x01", "AAE=", True),
        ("application/json", b"\xff", "/w==", True),
        ("application/json", b"{}", "{}", False),
    ],
)
def test_what_is_not_text_goes_as_base64(kind: str, sent: bytes, body: str, encoded: bool) -> None:
    async def main() -> None:
        async with running() as gateway:
            headers = {"Content-Type": kind, "Accept": "*/*"}
            _, _, answer = await gateway.request("POST", "/echo/x", headers, sent)
            event = json.loads(answer)
            assert (event["body"], event["isBase64Encoded"]) == (body, encoded)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/empty", 204, b""),
        ("GET", "/empty/", 204, b""),
        ("GET", "/echo/fixed", 200, b'{"fixed":"yes"}'),
        ("GET", "/nowhere", 404, NOT_FOUND),
        ("GET", "/echo", 404, NOT_FOUND),
        ("GET", "/echo/a/b", 404, NOT_FOUND),
        ("GET", "//empty", 404, NOT_FOUND),
        ("DELETE", "/empty", 405, b'{"Code":"MethodNotAllowedError","Message":"Unsupported method: DELETE"}'),
        (
            "OPTIONS",
            "/empty",
            405,
            b'{"Code":"MethodNotAllowedError","Message":"Unsupported method: OPTIONS"}',
        ),
        ("HEAD", "/empty", 405, b""),
        ("HEAD", "/nowhere", 404, b""),
        (
            "GET",
            "/boom",
            500,
            b'{"Code":"InternalServerError","Message":"An internal server error occurred."}',
        ),
    ],
)
def test_requests_are_routed_by_the_app_s_own_table(method: str, path: str, status: int, body: bytes) -> None:
    async def main() -> None:
        async with running() as gateway:
            found, headers, answer = await gateway.request(method, path)
            assert (found, answer) == (status, body)
            assert "x-request-id" in headers
            if status == 405:
                assert headers["allow"] == "GET"

    asyncio.run(main())


def test_repeated_headers_of_an_answer_stay_repeated() -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(b"GET /cookies HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            assert [line for line in answer.split(b"\r\n") if line.lower().startswith(b"set-cookie")] == [
                b"set-cookie: a=1",
                b"set-cookie: b=2",
            ]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.B-9_z", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("with space", False),
        ("<script>", False),
        ("", False),
    ],
)
def test_a_client_s_request_id_is_kept_if_it_is_harmless(given: str, kept: bool) -> None:
    async def main() -> None:
        async with running() as gateway:
            _, headers, body = await gateway.request("GET", "/echo/x", {"X-Request-Id": given})
            assert (headers["x-request-id"] == given) is kept
            assert json.loads(body)["requestContext"]["requestId"] == headers["x-request-id"]
            assert json.loads(body)["headers"]["X-Request-Id"] == headers["x-request-id"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("proxies", "forwarded", "source", "chain"),
    [
        ("", "9.9.9.9", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.0/8", "9.9.9.9", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "9.9.9.9", "9.9.9.9", "9.9.9.9, 127.0.0.1"),
        (
            "127.0.0.1,10.0.0.0/8",
            "6.6.6.6, 9.9.9.9, 10.1.2.3",
            "9.9.9.9",
            "6.6.6.6, 9.9.9.9, 10.1.2.3, 127.0.0.1",
        ),
        ("127.0.0.1", "6.6.6.6, forged", "127.0.0.1", "6.6.6.6, forged, 127.0.0.1"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1", "2001:db8::1, 127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_s_word_counts(proxies: str, forwarded: str, source: str, chain: str) -> None:
    async def main() -> None:
        async with running(GATEWAY_TRUSTED_PROXIES=proxies) as gateway:
            headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
            _, _, body = await gateway.request("GET", "/echo/x", headers)
            event = json.loads(body)
            assert event["requestContext"]["identity"]["sourceIp"] == source
            assert event["headers"]["X-Forwarded-For"] == chain
            assert event["headers"]["X-Forwarded-Proto"] == ("https" if "," in chain else "http")

    asyncio.run(main())


def test_a_connection_serves_many_requests_also_pipelined_in_order() -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            for _ in range(3):
                writer.write(
                    b"GET /echo/one?sleep=0.05 HTTP/1.1\r\nHost: x\r\n\r\n"
                    b"GET /echo/fixed HTTP/1.1\r\nHost: x\r\n\r\n"
                )
                for marker in (b'"/echo/one"', b"fixed"):
                    status, headers, _ = parse(await reader.readuntil(b"\r\n\r\n"))
                    assert status == 200
                    assert marker in await reader.readexactly(int(headers["content-length"]))

    asyncio.run(main())


def test_an_idle_connection_is_closed() -> None:
    async def main() -> None:
        async with running(GATEWAY_KEEP_ALIVE_S="1") as gateway:
            reader, writer = await gateway.raw()
            writer.write(b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 5) == b""

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"GET /empty HTT", 408),
        (b"GET /empty HTTP/1.1\r\nHost: x\r\nX-Slow: ", 408),
        (b"POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf", 408),
        (b"POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 408),
    ],
)
def test_a_slow_sender_is_answered_and_dropped(sent: bytes, status: int | None) -> None:
    async def main() -> None:
        limits = {"GATEWAY_HEADER_DEADLINE_S": "0.1", "GATEWAY_BODY_DEADLINE_S": "0.1"}
        async with running(**limits) as gateway:
            reader, writer = await gateway.raw()
            writer.write(sent)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert (parse(answer)[0] if answer else None) == status
            assert (await gateway.request("GET", "/empty"))[0] == 204

    asyncio.run(main())


def test_a_drop_of_bytes_does_not_extend_the_deadline() -> None:
    async def main() -> None:
        async with running(GATEWAY_HEADER_DEADLINE_S="0.2") as gateway:
            reader, writer = await gateway.raw()
            writer.write(b"GET /empty HTTP/1.1\r\nHost: x\r\n")
            sent = 0
            with suppress(ConnectionError):
                while not reader.at_eof() and sent < 100:
                    writer.write(b"X-Drip: 1\r\n")
                    await writer.drain()
                    sent += 1
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(), 0.05)
            assert sent < 20

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /empty HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 70_000, 431),
        (b"GET /empty HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /empty HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 9_000 + b"\r\n", 431),
        (b"GET /" + b"x" * 70_000, 431),
        (b"POST /echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n", 413),
        (
            b"POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n"
            + b"x" * 65536,
            413,
        ),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_what_is_too_large_or_malformed_is_refused_before_the_app_sees_it(
    request_: bytes, status: int
) -> None:
    async def main() -> None:
        async with running(GATEWAY_MAX_BODY_BYTES="60000") as gateway:
            reader, writer = await gateway.raw()
            writer.write(request_)
            with suppress(ConnectionError):
                found, headers, _ = parse(await asyncio.wait_for(reader.read(), 5))
                assert found == status
                assert "x-request-id" in headers

    asyncio.run(main())


def test_a_body_at_the_limit_is_taken() -> None:
    async def main() -> None:
        async with running(GATEWAY_MAX_BODY_BYTES="100000") as gateway:
            for size, status in ((100_000, 200), (100_001, 413)):
                assert (await gateway.request("POST", "/echo/x", {}, b"x" * size))[0] == status

    asyncio.run(main())


def test_above_the_limit_of_running_requests_the_answer_is_503() -> None:
    async def main() -> None:
        async with running(GATEWAY_MAX_REQUESTS="1") as gateway:
            slow = asyncio.create_task(gateway.request("GET", "/held"))
            await until(lambda: stub.noted("held"))
            assert (await gateway.request("GET", "/empty"))[0] == 503
            stub.gate.set()
            assert (await slow)[0] == 204

    asyncio.run(main())


def test_each_request_is_one_line_without_its_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with running(GATEWAY_ACCESS_LOG="true") as gateway:
            headers = {"Authorization": "Bearer sesame", "Cookie": "a=sesame"}
            _, answered, _ = await gateway.request("POST", "/echo/x?token=sesame", headers, b"sesame")
            async with gateway.connect(
                "/waiting-queue/visitor?token=sesame", additional_headers=headers
            ) as client:
                await client.send("echo sesame")
                await client.recv()
        lines = capsys.readouterr().err.splitlines()
        first, second = map(json.loads, lines)
        assert (first["method"], first["path"], first["status"]) == ("POST", "/echo/x", 200)
        assert first["request_id"] == answered["x-request-id"]
        assert isinstance(first["ms"], float)
        assert (second["path"], second["status"]) == ("/waiting-queue/visitor", 101)
        assert "sesame" not in "".join(lines)

    asyncio.run(main())


def test_threads_do_not_see_one_another_s_request() -> None:
    async def main() -> None:
        async with running() as gateway:
            answers = await asyncio.gather(
                *(gateway.request("GET", f"/echo/{number}?sleep=0.02") for number in range(30))
            )
            assert [json.loads(body)["path"] for _, _, body in answers] == [f"/echo/{n}" for n in range(30)]

    asyncio.run(main())


def test_above_the_limit_of_connections_a_new_one_is_refused() -> None:
    async def main() -> None:
        async with running(GATEWAY_MAX_CONNECTIONS="1") as gateway:
            await gateway.raw()
            reader, _ = await gateway.raw()
            assert parse(await asyncio.wait_for(reader.read(), 5))[0] == 503

    asyncio.run(main())


def test_an_upgrade_to_something_else_is_served_as_http() -> None:
    async def main() -> None:
        async with running() as gateway:
            headers = {"Upgrade": "h2c", "HTTP2-Settings": "x"}
            reader, writer = await gateway.raw()
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n{lines}\r\n".encode())
            assert parse(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5))[0] == 204

    asyncio.run(main())


def test_what_follows_a_request_is_not_read_without_end_while_that_is_answered() -> None:
    async def main() -> None:
        async with running() as gateway:
            reader, writer = await gateway.raw()
            writer.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await until(lambda: stub.noted("held"))
            writer.write(b"GET /empty HTTP/1.1\r\nX-Big: " + b"x" * 20_000_000)
            await asyncio.sleep(0.1)
            assert writer.transport.get_write_buffer_size() > 1_000_000
            stub.gate.set()
            assert parse(await reader.readuntil(b"\r\n\r\n"))[0] == 204
            with suppress(ConnectionError):
                assert parse(await asyncio.wait_for(reader.read(), 5))[0] == 431

    asyncio.run(main())
