"""A small media worker: fetches streaming-ins, reports what they are, records them and sends them out.

Written from docs/media-plane.md and nothing else, to show what a worker has to do.  It needs Python 3.11, and
ffmpeg and ffprobe for media:

    MANAGEMENT_URL=http://127.0.0.1:8080 SERVICE_ID=... SERVICE_KEY=... python examples/worker.py

One ffmpeg fetches each stream and writes it to a pipe as MPEG-TS, which can be joined at any key frame; the
worker hands it on to whoever takes it: an ffprobe first, an ffmpeg for each recording and streaming-out.
"""

import argparse
import base64
import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import logging
import math
import os
import queue
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("worker")

POLL_S = 20
"""For how long Foyer holds a poll back while there is nothing to do."""
PAUSE_S = 0.2
"""Between polls while commands are at work: they stay listed until they are acknowledged."""
KNOWN_S = 60
LOOK_S = 0.2
"""Between looks whether something ended by itself."""
ANSWER_S = 10
REPEAT_S = (0.2, 1, 5, 15, 30)
BEGIN_S = PROBE_S = float(os.environ.get("SOURCE_WAIT_S", "4"))
"""For how long a source may take to begin, and then to tell what it is: a caller waits for ten seconds."""
START_S = 8
LONGEST_REASON = 300
FINISH_S = 15
URGE_S = 2
CHUNK = 65536
PACKET = 188
TABLES = (0, 0x1000)
FIRST_TRACK = 0x100
LARGEST_RECENT = 16 * 1024 * 1024
JOIN = ("-analyzeduration", "1000000", "-f", "mpegts", "-i", "pipe:0")
BEHIND = 2000
"""Chunks that an output may be behind its stream before it is given up."""
FAULTS = (OSError, http.client.HTTPException, ValueError)
"""What may become of a request on the way."""

ENCODERS = {
    "aac": "aac",
    "h264": "libx264",
    "h265": "libx265",
    "opus": "libopus",
    "pcma": "pcm_alaw",
    "pcmu": "pcm_mulaw",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
}
FOUND = {"hevc": "h265", "pcm_alaw": "pcma", "pcm_mulaw": "pcmu"}
"""What ffprobe calls codecs, where Foyer has another word."""
PROFILES = {"Constrained Baseline": "CB", "Baseline": "B", "Main": "M", "High": "H"}
X264_PROFILES = {"M": "main", "H": "high"}
SENT = {"rtmp": "flv", "rtsp": "rtsp"}
SOURCES = re.compile(r"(https?|rtmps?|rtsp)://")
DESTINATIONS = re.compile(r"(rtmps?|rtsp)://")
PROTOCOLS = "http,https,rtmp,rtmps,rtp,rtsp,tcp,tls,udp"
FILES = re.compile(r"https?://.*\.(mp4|mkv|mov|ts|flv|webm)")
"""Sources that would come as fast as they can, and not as they are played."""


class Failed(Exception):
    """A command that cannot be carried out; the text is told to whoever ordered it."""


# Foyer


class Foyer:
    """The media plane's side of the wire."""

    def __init__(self, url: str, service: str, key: str) -> None:
        self.url = url.rstrip("/")
        self.service = service
        self.key = key

    def commands(self, wait_s: int) -> list[dict[str, Any]]:
        """What waits to be done, the oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", f"/media/v1/commands?wait={wait_s}", timeout_s=wait_s)
        return found

    def rooms(self) -> Iterator[str]:
        """The ids of the service's rooms, from the management API."""
        for page in itertools.count(1):
            found = self._ask("GET", f"/v1/rooms?per_page=100&page={page}")
            if not found:
                return
            yield from (room["_id"] for room in found)

    def acknowledge(self, command_id: str, outcome: dict[str, Any]) -> None:
        """Say what came of a command."""
        self._insist(f"/media/v1/commands/{urllib.parse.quote(command_id, safe='')}/ack", outcome)

    def report(self, room: str, kind: str, **carried: Any) -> None:
        """Tell a room of one event; sent again, with the same id, until it is answered."""
        event = {"id": str(uuid.uuid4()), "type": kind, **carried}
        self._insist(f"/media/v1/rooms/{urllib.parse.quote(room, safe='')}/reports", [event])

    def _insist(self, path: str, body: Any) -> None:
        """Send something until it is answered; what is refused would be refused again."""
        for pause in (*REPEAT_S, None):
            try:
                log.info("%s: %s", path, self._ask("POST", path, body))
                return
            except urllib.error.HTTPError as refused:
                log.warning("%s: %s %s", path, refused.code, refused.read().decode(errors="replace"))
                if refused.code < 500:
                    return
            except FAULTS as fault:
                log.warning("%s: %s", path, fault)
            if pause is not None:
                time.sleep(pause)
        log.error("%s: given up", path)

    def _ask(self, method: str, path: str, body: Any = None, *, timeout_s: float = 0) -> Any:
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": self._mauth(), "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=timeout_s + ANSWER_S) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _mauth(self) -> str:
        stamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_hex(8)
        digits = hmac.new(self.key.encode(), f"{stamp},{nonce}".encode(), hashlib.sha256).hexdigest()
        signature = base64.b64encode(digits.encode()).decode()
        return (
            "MAuth realm=foyer,mauth_signature_method=HMAC_SHA256"
            f",mauth_serviceid={self.service},mauth_cnonce={nonce}"
            f",mauth_timestamp={stamp},mauth_signature={signature}"
        )


# Media


class Tool:
    """An ffmpeg or ffprobe that runs, and what it complains about."""

    def __init__(
        self, *command: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=self._complaints, start_new_session=True
        )

    @property
    def runs(self) -> bool:
        """Whether it still does."""
        return self.process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Whether it comes to its end by itself within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return not self.runs

    def finish(self) -> str:
        """Have it end, and tell what it complained about; empty if it did not."""
        for urge in (self.process.terminate, self.process.kill):
            if self.runs:
                urge()
                self.wait(URGE_S)
        if self._complaints.closed:
            return ""
        with self._complaints as file:
            file.seek(0)
            lines = file.read(LONGEST_REASON).decode(errors="replace").splitlines()
        return "; ".join(re.sub(r"^\[[^]]*\] ", "", line) for line in lines)


def ffmpeg(*arguments: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL) -> Tool:
    """An ffmpeg that asks nothing and says little."""
    quiet = ("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
    return Tool("ffmpeg", *quiet, *arguments, stdin=stdin, stdout=stdout)


class Sink:
    """Somebody who takes a stream: bytes wait for it in a queue, so that nobody holds the others up."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self._waiting: queue.Queue[bytes | None] = queue.Queue(BEHIND)
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def put(self, chunk: bytes) -> bool:
        """Hand bytes over; whether it takes any more."""
        try:
            self._waiting.put_nowait(chunk)
        except queue.Full:
            self.tool.process.kill()
        return self._thread.is_alive()

    def end(self) -> None:
        """There is no more; it may finish what it has."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=FINISH_S)

    def _feed(self) -> None:
        pipe = self.tool.process.stdin
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended
            while (chunk := self._waiting.get()) is not None:
                pipe.write(chunk)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()


class Recent:
    """What an MPEG-TS of ffmpeg has had since its last key frame: whoever takes it begins there."""

    def __init__(self) -> None:
        self.begun = False
        self.packets = bytearray()
        self._tables: dict[int, bytes] = {}
        self._rest = b""

    def add(self, data: bytes) -> bytes:
        """The whole packets that there are now."""
        data = self._rest + data
        end = len(data) - len(data) % PACKET
        data, self._rest = data[:end], data[end:]
        for at in range(0, end, PACKET):
            self._add(data[at : at + PACKET])
        return data

    def _add(self, packet: bytes) -> None:
        pid = int.from_bytes(packet[1:3], "big") & 0x1FFF
        if pid in TABLES:
            self._tables[pid] = packet
        # An adaptation field that is not empty and has the random access indicator.
        elif pid == FIRST_TRACK and packet[3] & 0x20 and packet[4] and packet[5] & 0x40:
            self.packets[:] = b"".join(self._tables.values())
            self.begun = True
        if len(self.packets) < LARGEST_RECENT:
            self.packets += packet


class Pull:
    """A stream that is being fetched, and who takes it."""

    def __init__(self, name: str, connection: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Begin, and find out what it is.  Raises `Failed`."""
        self.name = name
        self._sinks: list[Sink] = []
        self._lock = threading.Lock()
        self._recent = Recent()
        self._begun = threading.Event()
        self._over = False
        url = connection["url"]
        if not SOURCES.match(url):
            raise Failed("this worker fetches http, https, rtmp, rtmps and rtsp")
        options = ["-rtsp_transport", connection["transportProtocol"]] if url.startswith("rtsp") else []
        options += ["-re"] if FILES.fullmatch(url) else []
        tracks: list[str] = []
        for track, letter in (("video", "v"), ("audio", "a")):
            if wanted[track] is not False:
                tracks += ["-map", f"0:{letter}:0" + ("?" if wanted[track] == "auto" else "")]
        # The address is a stranger's: it, or a playlist there, might name files of this machine.
        self.tool = ffmpeg(
            *("-protocol_whitelist", PROTOCOLS, *options, "-i", url, *tracks, "-c", "copy"),
            *("-flush_packets", "1", "-f", "mpegts", "pipe:1"),
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._hand_on, daemon=True).start()
        self._begun.wait(BEGIN_S)
        probe = Tool(
            *("ffprobe", "-loglevel", "error", "-show_streams", "-of", "json", *JOIN),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.add(Sink(probe))
        found = self._found_by(probe)
        self.media = media_of(found)
        # MPEG-TS takes any codec, and says of those that it does not know that they are data.
        if not any(self.media.values()) or any(each.get("codec_type") == "data" for each in found):
            raise Failed(self.stop() or "there is nothing, or a codec that this worker does not carry")

    def _found_by(self, probe: Tool) -> list[dict[str, Any]]:
        assert probe.process.stdout is not None
        timer = threading.Timer(PROBE_S, probe.process.kill)
        timer.start()
        with probe.process.stdout as pipe:
            said = pipe.read()
        timer.cancel()
        probe.finish()
        try:
            found: list[dict[str, Any]] = json.loads(said).get("streams", [])
        except ValueError:  # it was killed while it waited, and the source gave nothing
            return []
        return found

    def _hand_on(self) -> None:
        assert self.tool.process.stdout is not None
        with self.tool.process.stdout as pipe:
            while data := os.read(pipe.fileno(), CHUNK):
                with self._lock:
                    packets = self._recent.add(data)
                    self._sinks = [sink for sink in self._sinks if sink.put(packets)]
                    if self._recent.begun:
                        self._begun.set()
        with self._lock:
            self._over = True
        self._begun.set()
        for sink in self._sinks:
            sink.end()

    def add(self, sink: Sink) -> None:
        """From the last key frame on this one takes it too."""
        with self._lock:
            sink.put(bytes(self._recent.packets))
            self._sinks.append(sink)
            over = self._over
        if over:
            sink.end()

    def drop(self, sink: Sink) -> None:
        """This one takes it no more."""
        with self._lock:
            self._sinks = [each for each in self._sinks if each is not sink]
        sink.end()

    def stop(self) -> str:
        """End, and tell what was wrong if anything was."""
        return self.tool.finish()


def media_of(streams: list[dict[str, Any]]) -> dict[str, Any]:
    """What ffprobe found, as Foyer spells it."""
    media: dict[str, Any] = {"audio": False, "video": False}
    for each in streams:
        kind, codec = each.get("codec_type"), each.get("codec_name", "unknown")
        form: dict[str, Any] = {"codec": FOUND.get(codec, codec)}
        if kind == "audio" and not media["audio"] and each.get("channels"):
            form |= {"sampleRate": int(each["sample_rate"]), "channelNum": each["channels"]}
            media["audio"] = {"status": "active", "source": "streaming", "format": form}
        if kind == "video" and not media["video"] and each.get("width"):
            if codec == "h264" and each.get("profile") in PROFILES:
                form["profile"] = PROFILES[each["profile"]]
            parameters: dict[str, Any] = {"resolution": {"width": each["width"], "height": each["height"]}}
            frames, _, seconds = each.get("r_frame_rate", "0/0").partition("/")
            if int(seconds):
                rate = round(int(frames) / int(seconds), 2)
                parameters["framerate"] = int(rate) if rate.is_integer() else rate
            original = [{"format": form, "parameters": parameters}]
            media["video"] = {"status": "active", "source": "streaming", "original": original}
    return media


def conversion(media: dict[str, Any], source: dict[str, Any]) -> list[str]:
    """How ffmpeg makes what is wanted of what there is; it copies where it can.  Raises `Failed`."""
    options: list[str] = []
    if (audio := media.get("audio", False)) is False:
        options += ["-an"]
    else:
        wanted, have = audio["format"], source["audio"]["format"]
        if all(have.get(name) == value for name, value in wanted.items()):
            options += ["-c:a", "copy"]
        else:
            options += ["-c:a", encoder(wanted)]
            options += ["-ar", str(wanted["sampleRate"])] if "sampleRate" in wanted else []
            options += ["-ac", str(wanted["channelNum"])] if "channelNum" in wanted else []
    if (video := media.get("video", False)) is False:
        options += ["-vn"]
    else:
        wanted, have = video["format"], source["video"]["original"][0]["format"]
        asked = video.get("parameters", {})
        if not asked and all(have.get(name) == value for name, value in wanted.items()):
            options += ["-c:v", "copy"]
        else:
            options += ["-c:v", encoder(wanted), *changed(asked)]
            if wanted["codec"] == "h264":
                options += ["-preset", "veryfast", "-pix_fmt", "yuv420p"]
                options += ["-profile:v", X264_PROFILES.get(wanted.get("profile", ""), "baseline")]
    return options


def changed(parameters: dict[str, Any]) -> list[str]:
    """How ffmpeg gives video other parameters.  Raises `Failed`."""
    options: list[str] = []
    if size := parameters.get("resolution"):
        options += ["-s", f"{size['width']}x{size['height']}"]
    if rate := parameters.get("framerate"):
        options += ["-r", str(rate)]
    if interval := parameters.get("keyFrameInterval"):
        options += ["-force_key_frames", f"expr:gte(t,n_forced*{interval})"]
    if bitrate := parameters.get("bitrate"):
        if isinstance(bitrate, str):
            raise Failed("the source's bitrate is not known, so there is no part of it")
        options += ["-b:v", f"{bitrate}k"]
    return options


def encoder(wanted: dict[str, Any]) -> str:
    """ffmpeg's name of what makes a format.  Raises `Failed`."""
    try:
        return ENCODERS[wanted["codec"].lower()]
    except KeyError:
        raise Failed(f"{wanted['codec']} cannot be made here") from None


class Output:
    """A recording or streaming-out that runs."""

    def __init__(self, name: str, source: Pull, options: list[str]) -> None:
        """Begin.  Raises `Failed`."""
        self.name = name
        self.source = source
        self._writes = False
        self._told = threading.Event()
        self.tool = ffmpeg(
            *("-nostats", "-progress", "pipe:1", "-stats_period", "0.2"),
            *(*JOIN, *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._sink = Sink(self.tool)
        source.add(self._sink)
        threading.Thread(target=self._watch, daemon=True).start()
        self._told.wait(START_S)
        if not self._writes:
            source.drop(self._sink)
            raise Failed(self.tool.finish() or "nothing could be written in time")

    def _watch(self) -> None:
        """It tells of its progress once it writes, or ends."""
        assert self.tool.process.stdout is not None
        with self.tool.process.stdout as pipe:
            for _ in pipe:
                self._writes = True
                self._told.set()
        self._told.set()

    def stop(self) -> None:
        """Let it write its end: a file whose end is missing may not play."""
        self.source.drop(self._sink)
        self.tool.wait(FINISH_S)
        self.tool.finish()


# Rooms


class Room:
    """What is carried of one room; its commands are carried out in their order, by one thread."""

    def __init__(self, worker: "Worker", name: str) -> None:
        self.worker = worker
        self.name = name
        self.pulls: dict[str, Pull] = {}
        self.outputs: dict[str, Output] = {}
        self.todo: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                command = self.todo.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            self.worker.foyer.acknowledge(command["id"], self._carry_out(command))
            self.worker.done(command)
            if command["kind"] == "room.closed":
                return

    def _carry_out(self, command: dict[str, Any]) -> dict[str, Any]:
        """What came of a command, whatever happens."""
        kind, target = command["kind"], command["target"]
        try:
            if (action := ACTIONS.get(kind)) is None:
                raise Failed(f"{kind} is more than this worker can do")
            result = action(self, target, command["args"])
        except Failed as failure:
            log.warning("%s %s: %s", kind, target, failure)
            return {"ok": False, "reason": str(failure)}
        except Exception:
            log.exception("%s %s", kind, target)
            return {"ok": False, "reason": "the worker failed; its log says why"}
        log.info("%s %s: done", kind, target)
        return {"ok": True} if result is None else {"ok": True, "result": result}

    def _look(self) -> None:
        """Report what ended by itself: a stream after what took it, which still had to write its end."""
        for output in [each for each in self.outputs.values() if not each.tool.runs]:
            del self.outputs[output.name]
            reason = output.tool.finish() or "the source ended"
            self.worker.foyer.report(self.name, "output.ended", output={"id": output.name, "reason": reason})
        taken = {output.source.name for output in self.outputs.values()}
        for pull in [each for each in self.pulls.values() if not each.tool.runs and each.name not in taken]:
            del self.pulls[pull.name]
            log.info("stream %s ended: %s", pull.name, pull.stop() or "the source ended")
            self.worker.foyer.report(self.name, "stream.removed", stream={"id": pull.name})

    def nothing(self, target: str, args: dict[str, Any]) -> None:
        """Nobody joins through this worker, and it shows no views: there is nothing to follow."""

    def close(self, target: str, args: dict[str, Any]) -> None:
        """End all that is carried."""
        for name in list(self.pulls):
            self.stop_stream(name, {})

    def start_stream(self, target: str, args: dict[str, Any]) -> dict[str, Any]:
        """Fetch a stream, unless an acknowledgement was lost and it is fetched already."""
        if target not in self.pulls:
            self.pulls[target] = Pull(target, args["connection"], args["media"])
        return {"media": self.pulls[target].media, "node": self.worker.node}

    def stop_stream(self, target: str, args: dict[str, Any]) -> None:
        """End a stream and what takes something of it: no command says that."""
        for output in [each for each in self.outputs.values() if each.source.name == target]:
            self.stop_output(output.name, {})
        if (pull := self.pulls.pop(target, None)) is not None:
            pull.stop()

    def start_output(self, target: str, args: dict[str, Any]) -> dict[str, Any]:
        """Record or send a stream."""
        kind = args["type"]
        result: dict[str, Any] = {"node": self.worker.node}
        if kind == "recording":
            file = self.worker.folder / Path(args["storage"]["file"]).name
            result |= {"storage": {"host": self.worker.host, "file": str(file)}}
            where = [f"file:{file}"]
        elif kind == "streaming-out" and args["protocol"] in SENT and DESTINATIONS.match(args["url"]):
            result |= {"url": args["url"]}
            where = ["-f", SENT[args["protocol"]], args["url"]]
        else:
            raise Failed("this worker records, and sends over rtmp and rtsp")
        if target not in self.outputs:
            source = self._source(args["media"])
            options = conversion(args["media"], source.media)
            self.outputs[target] = Output(target, source, [*options, *where])
        return result

    def _source(self, media: dict[str, Any]) -> Pull:
        names = {track["from"] for track in (media.get("audio"), media.get("video")) if track}
        if len(names) == 1 and (source := self.pulls.get(names.pop())) is not None:
            return source
        raise Failed("this worker takes both tracks of one streaming-in")

    def stop_output(self, target: str, args: dict[str, Any]) -> None:
        """End a recording or streaming-out."""
        if (output := self.outputs.pop(target, None)) is not None:
            output.stop()


ACTIONS: dict[str, Callable[[Room, str, dict[str, Any]], dict[str, Any] | None]] = {
    "room.closed": Room.close,
    "room.updated": Room.nothing,
    "participant.permission": Room.nothing,
    "participant.drop": Room.nothing,
    "stream.start": Room.start_stream,
    "stream.stop": Room.stop_stream,
    "output.start": Room.start_output,
    "output.stop": Room.stop_output,
}


class Worker:
    """Takes commands and hands each to its room."""

    def __init__(self, foyer: Foyer, folder: Path, node: str, host: str) -> None:
        self.foyer = foyer
        self.folder = folder
        self.node = node
        self.host = host
        self._rooms: dict[str, Room] = {}
        self._told: set[str] = set()
        self._known: dict[str, float] = {}
        """Commands in hand, and those that were done: until when they may be in a list that is on its way."""
        self._lock = threading.Lock()

    def run(self) -> None:
        """Follow commands until somebody stops it."""
        failures, begun = 0, False
        while True:
            try:
                if not begun:
                    self._begin()
                    begun = True
                found = self.foyer.commands(POLL_S)
                failures = 0
            except FAULTS as fault:
                log.warning("commands: %s", fault)
                time.sleep(REPEAT_S[min(failures, len(REPEAT_S) - 1)])
                failures += 1
                continue
            if not self._hand_out(found):
                time.sleep(PAUSE_S)

    def _begin(self) -> None:
        """Tell all rooms that what an earlier process of this name carried is lost."""
        for name in self.foyer.rooms():
            self.foyer.report(name, "node.gone", node=self.node)
            self._told.add(name)

    def _hand_out(self, found: list[dict[str, Any]]) -> bool:
        """Whether there was anything new."""
        now = time.monotonic()
        with self._lock:
            self._known = {name: until for name, until in self._known.items() if until > now}
            new = [command for command in found if command["id"] not in self._known]
            self._known |= {command["id"]: math.inf for command in new}
        for command in new:
            self._room(command["room"]).todo.put(command)
        return bool(new)

    def _room(self, name: str) -> Room:
        with self._lock:
            if (room := self._rooms.get(name)) is not None:
                return room
        # The super service lists its own rooms only, and is told of those of all.
        if name not in self._told:
            self.foyer.report(name, "node.gone", node=self.node)
        with self._lock:
            room = self._rooms[name] = Room(self, name)
        return room

    def done(self, command: dict[str, Any]) -> None:
        """It was acknowledged, and nothing comes after the end of a room."""
        with self._lock:
            self._known[command["id"]] = time.monotonic() + KNOWN_S
            if command["kind"] == "room.closed":
                del self._rooms[command["room"]]

    def stop(self) -> None:
        """End all that is carried, and say so."""
        for room in list(self._rooms.values()):
            room.close("", {})
            self.foyer.report(room.name, "node.gone", node=self.node)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A small media worker.")
    parser.add_argument("--folder", type=Path, default=Path("recordings"), help="where recordings go")
    parser.add_argument(
        "--host", default=socket.gethostname(), help="the host that recordings are said to be on"
    )
    parser.add_argument("--node", default=socket.gethostname(), help="what this worker calls itself")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder: Path = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    url = os.environ.get("MANAGEMENT_URL", "http://127.0.0.1:8080")
    worker = Worker(
        Foyer(url, os.environ["SERVICE_ID"], os.environ["SERVICE_KEY"]), folder, given.node, given.host
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    log.info("following %s as %s", url, given.node)
    try:
        worker.run()
    except KeyboardInterrupt:
        worker.stop()


if __name__ == "__main__":
    main()
