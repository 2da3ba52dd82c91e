"""examples/worker.py with a real ffmpeg: from a source to a stream with true facts and a file that plays."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from examples import worker
from infra.children import Child
from tests.prosody.tools import tool
from tests.support.caller import Caller

ROOT: Final = Path(__file__).parents[2]
WAIT_S: Final = 60.0
AUDIO: Final = {"codec": "aac", "sampleRate": 48000, "channelNum": 2}
VIDEO: Final = {"codec": "h264", "profile": "CB"}
MEDIA: Final = {
    "audio": {"status": "active", "source": "streaming", "format": AUDIO},
    "video": {
        "status": "active",
        "source": "streaming",
        "original": [
            {
                "format": VIDEO,
                "parameters": {"resolution": {"width": 320, "height": 240}, "framerate": 15},
            }
        ],
    },
}
"""What the made source is."""


def facts(media: dict[str, Any]) -> dict[str, Any]:
    """What is answered of a stream's media, without what the room could make of it."""
    return {
        name: {field: value for field, value in track.items() if field != "optional"}
        for name, track in media.items()
    }


# What ffprobe says, and what Foyer is told


def test_an_unknown_codec_has_the_name_that_ffprobe_gives_it():
    found = [{"codec_type": "audio", "codec_name": "mp2", "sample_rate": "44100", "channels": 1}]
    assert worker.media_of(found) == {
        "audio": {
            "status": "active",
            "source": "streaming",
            "format": {"codec": "mp2", "sampleRate": 44100, "channelNum": 1},
        },
        "video": False,
    }


@pytest.mark.parametrize(
    ("found", "form", "rate"),
    [
        (
            {"codec_name": "h264", "profile": "High", "r_frame_rate": "30/1"},
            {"codec": "h264", "profile": "H"},
            30,
        ),
        ({"codec_name": "h264", "profile": "High 10", "r_frame_rate": "25/2"}, {"codec": "h264"}, 12.5),
        ({"codec_name": "hevc", "profile": "Main", "r_frame_rate": "30000/1001"}, {"codec": "h265"}, 29.97),
        ({"codec_name": "vp9", "r_frame_rate": "0/0"}, {"codec": "vp9"}, None),
    ],
)
def test_what_ffprobe_says_of_video_is_told_in_foyers_words(found, form, rate):
    media = worker.media_of([{"codec_type": "video", "width": 64, "height": 48, **found}])
    (layer,) = media["video"]["original"]
    assert layer["format"] == form
    assert layer["parameters"].get("framerate") == rate


def selection(audio: Any, video: Any, **parameters: Any) -> dict[str, Any]:
    """What an output takes, as a command has it."""
    more = {"parameters": parameters} if parameters else {}
    return {
        "audio": audio and {"from": "1", "format": audio, "status": "active"},
        "video": video and {"from": "1", "format": video, "status": "active", **more},
    }


@pytest.mark.parametrize(
    ("wanted", "options"),
    [
        (selection(AUDIO, VIDEO), "-c:a copy -c:v copy"),
        (selection({"codec": "aac"}, {"codec": "h264"}), "-c:a copy -c:v copy"),
        (selection(False, VIDEO), "-an -c:v copy"),
        (selection({"codec": "opus", "sampleRate": 48000}, False), "-c:a libopus -ar 48000 -vn"),
        (selection(False, {"codec": "vp8"}, bitrate=500), "-an -c:v libvpx -b:v 500k"),
        (
            selection(False, VIDEO, resolution={"width": 160, "height": 120}, framerate=6),
            "-an -c:v libx264 -s 160x120 -r 6 -preset veryfast -pix_fmt yuv420p -profile:v baseline",
        ),
    ],
)
def test_what_is_wanted_is_copied_where_it_is_what_there_is(wanted, options):
    assert worker.conversion(wanted, MEDIA) == options.split()


@pytest.mark.parametrize(
    "wanted",
    [
        selection({"codec": "nellymoser"}, False),
        selection(False, VIDEO, bitrate="x0.8"),
    ],
)
def test_what_cannot_be_made_is_refused(wanted):
    with pytest.raises(worker.Failed):
        worker.conversion(wanted, MEDIA)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "concat:a|b", "-version", "", "HTTP://a"]
)
def test_no_address_makes_it_read_files(url):
    connection = {"url": url, "transportProtocol": "tcp", "bufferSize": 8192}
    with pytest.raises(worker.Failed):
        worker.Pull("1", connection, {"audio": "auto", "video": "auto"})


def packet(pid: int, name: bytes, *, key: bool = False) -> bytes:
    """A packet of an MPEG-TS; what begins a key frame says so in its adaptation field."""
    flags = b"\x30\x01\x40" if key else b"\x10"
    return (b"\x47" + pid.to_bytes(2, "big") + flags + name).ljust(worker.PACKET, b"\0")


def test_whoever_joins_begins_with_the_tables_and_the_last_key_frame():
    tables = packet(0, b"PAT") + packet(0x1000, b"PMT")
    first, second = packet(0x100, b"1", key=True), packet(0x100, b"2", key=True)
    sound, between = packet(0x101, b"a", key=True), packet(0x100, b"b")
    recent = worker.Recent()
    came = tables + between + first + sound + tables + second + between + sound
    whole = b"".join(recent.add(came[at : at + 100]) for at in range(0, len(came), 100))
    assert whole == came
    assert bytes(recent.packets) == tables + second + between + sound


# The whole loop


@dataclass(frozen=True)
class Plane(Caller):
    """A gateway, a service of its own, and a worker of that service."""

    folder: Path
    child: Child

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a call that has to succeed; else what the worker logged is told too."""
        status, answer = self.ask(method, path, body)
        assert status == 200, (answer, self.child.log())
        return answer

    def path(self) -> str:
        """The path of a new room."""
        return f"/v1.1/rooms/{self.room()}"

    def work(self, node: str = "n1") -> None:
        """Start the worker."""
        environ = {
            "PATH": os.environ["PATH"],
            "MANAGEMENT_URL": self.http,
            "SERVICE_ID": self.service,
            "SOURCE_WAIT_S": "8",
            "SERVICE_KEY": self.key,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        script = str(ROOT / "examples" / "worker.py")
        options = ["--folder", str(self.folder), "--node", node, "--host", "here"]
        self.child.run([sys.executable, script, *options], environ, self.folder.parent, signal.SIGTERM)

    def until(self, reached: Callable[[], Any]) -> Any:
        """Wait for something, and give what it gives."""
        end = time.monotonic() + WAIT_S
        while not (found := reached()):
            assert time.monotonic() < end, self.child.log()
            time.sleep(0.05)
        return found

    def idle(self) -> bool:
        """Whether every command was acknowledged."""
        found: list[Any] = self.done("GET", "/media/v1/commands")
        return not found


@pytest.fixture
def plane(gateway, stack, tmp_path) -> Iterator[Callable[[str], Plane]]:
    """Starts a gateway in a mode, with a worker."""
    made: list[Plane] = []

    def start(mode: str) -> Plane:
        http = gateway(MEDIA_MODE=mode, CONFIRM_TIMEOUT_S="18", GATEWAY_ACCESS_LOG="false").http
        environ = stack.environment
        child = Child(tmp_path / "worker.log")
        boss = Plane(http, environ["OWT_SUPER_SERVICE_ID"], environ["OWT_SUPER_SERVICE_KEY"], tmp_path, child)
        service = boss.done("POST", "/services", {"name": "media", "key": "a key"})["_id"]
        made.append(Plane(http, service, "a key", tmp_path / "recordings", child))
        made[0].work()
        return made[0]

    yield start
    for each in made:
        each.child.stop(10)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A minute of colours and a tone, in the formats of `MEDIA`; key frames are rare, as in the field."""
    path: Path = tmp_path_factory.mktemp("source") / "source.mp4"
    inputs = ["testsrc=size=320x240:rate=15", "sine=frequency=440:sample_rate=48000"]
    subprocess.run(
        [tool("ffmpeg"), "-loglevel", "error", "-nostdin"]
        + [text for each in inputs for text in ("-f", "lavfi", "-i", each)]
        + ["-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-g", "75"]
        + ["-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2", "-movflags", "+faststart", str(path)],
        check=True,
        timeout=60,
    )
    return path


@pytest.fixture(scope="module")
def address(source: Path) -> Iterator[str]:
    """Where the source is served over HTTP."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(source.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{source.name}"
        server.shutdown()
        thread.join()


def streaming_in(url: str) -> dict[str, Any]:
    """A request for a source."""
    return {"connection": {"url": url}, "media": {"audio": "auto", "video": "auto"}}


def both(stream: str) -> dict[str, Any]:
    """Both tracks of a stream."""
    return {"audio": {"from": stream}, "video": {"from": stream}}


def played(file: str) -> dict[str, Any]:
    """What ffprobe finds in a file when it reads all of it."""
    asked = "stream=codec_name,width,height,nb_read_frames:format=duration"
    command = [tool("ffprobe"), "-loglevel", "error", "-count_frames", "-show_entries", asked, "-of", "json"]
    done = subprocess.run([*command, file], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_listener(port: int) -> None:
    """Wait for an ffmpeg that listens: to try would use its one connection up."""
    table, end = Path("/proc/net/tcp"), time.monotonic() + WAIT_S
    while f":{port:04X} 00000000:0000 0A" not in table.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def rtmp(*before: str, after: Sequence[str], listens: bool) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """An RTMP server for one client, which it sends to or takes from; it has ended when the block has."""
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/a"
    command = [tool("ffmpeg"), "-loglevel", "error", "-nostdin", *before, url, *after]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            await_listener(port)
            yield url, server
            server.wait(WAIT_S if listens else 0)
        except subprocess.TimeoutExpired:
            assert not listens
        finally:
            server.kill()


def receiving(file: Path) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    """A server that keeps what it is sent; it has all of it when the block ends."""
    return rtmp("-listen", "1", "-i", after=["-c", "copy", str(file)], listens=True)


def sending(source: Path) -> AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]:
    """A server that sends the source to the first who comes, as fast as it is played."""
    options = ["-re", "-i", str(source), "-c", "copy", "-f", "flv", "-listen", "1"]
    return rtmp(*options, after=[], listens=False)


def test_from_a_source_to_a_stream_with_true_facts_and_a_recording_that_plays(plane, address, tmp_path):
    loop = plane("confirm")
    room = loop.path()

    stream = loop.done("POST", f"{room}/streaming-ins", streaming_in(address))
    assert facts(stream["media"]) == MEDIA
    assert loop.done("GET", f"{room}/streams/{stream['id']}") == stream

    recording = loop.done("POST", f"{room}/recordings", {"media": both(stream["id"])})
    file = str(loop.folder / f"{recording['id']}.mp4")
    assert recording["storage"] == {"host": "here", "file": file}
    assert loop.done("GET", f"{room}/recordings") == [recording]
    with receiving(tmp_path / "sent.flv") as (url, _):
        out = loop.done("POST", f"{room}/streaming-outs", {"url": url, "media": both(stream["id"])})
        time.sleep(1.5)
        loop.done("DELETE", f"{room}/recordings/{recording['id']}")
        loop.done("DELETE", f"{room}/streaming-outs/{out['id']}")
    loop.until(loop.idle)
    for each in (file, str(tmp_path / "sent.flv")):
        found = played(each)
        video, audio = sorted(found["streams"], key=lambda each: each["codec_name"], reverse=True)
        assert (video["codec_name"], video["width"], video["height"]) == ("h264", 320, 240)
        assert audio["codec_name"] == "aac"
        assert int(video["nb_read_frames"]) >= 10
        assert float(found["format"]["duration"]) >= 0.7

    loop.done("DELETE", f"{room}/streaming-ins/{stream['id']}")
    loop.until(loop.idle)
    assert loop.done("GET", f"{room}/streams") == []


def test_a_live_source_is_filled_in_and_goes_with_what_took_it_when_it_ends(plane, source):
    loop = plane("fire")
    room = loop.path()
    with sending(source) as (url, sender):
        stream = loop.done("POST", f"{room}/streaming-ins", streaming_in(url))
        assert "parameters" not in stream["media"]["video"]["original"][0]
        path = f"{room}/streams/{stream['id']}"
        loop.until(lambda: facts(loop.done("GET", path)["media"]) == MEDIA)

        recording = loop.done("POST", f"{room}/recordings", {"media": both(stream["id"])})
        loop.until(loop.idle)
        time.sleep(1)
        sender.kill()
        loop.until(lambda: loop.done("GET", f"{room}/recordings") == [])
        loop.until(lambda: loop.ask("GET", path)[0] == 404)
    assert float(played(str(loop.folder / f"{recording['id']}.mp4"))["format"]["duration"]) >= 0.5


def test_what_the_worker_cannot_do_leaves_nothing_and_what_it_carried_goes_when_it_starts_again(
    plane, address
):
    loop = plane("confirm")
    room = loop.path()
    status, answer = loop.ask("POST", f"{room}/streaming-ins", streaming_in("http://127.0.0.1:1/none.mp4"))
    assert (status, answer["error"]["code"]) == (500, 1201)
    assert "Connection refused" in answer["error"]["message"]
    assert loop.done("GET", f"{room}/streams") == []
    mixed = room.rpartition("/")[2] + "-common"
    assert loop.ask("POST", f"{room}/recordings", {"media": both(mixed)})[0] == 500
    assert loop.done("GET", f"{room}/recordings") == []

    path = f"{room}/streams/{loop.done('POST', f'{room}/streaming-ins', streaming_in(address))['id']}"
    into = [{"op": "add", "path": "/info/inViews", "value": "common"}]
    assert loop.ask("PATCH", path, into)[0] == 500
    assert loop.done("GET", path)["info"]["inViews"] == []
    loop.child.kill()
    loop.work()
    loop.until(lambda: loop.ask("GET", path)[0] == 404)
