"""Room documents as they are stored: compressed against a default room, which takes 50 bytes so.  Pure.

What is stored begins with the number of the dictionary it was made with.  A dictionary is never edited: rooms
that were packed with it could not be read any more.  Better ones get a number of their own.
"""

import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

RAW: Final = -zlib.MAX_WBITS
"""No header and no checksum: the dictionary's number says all there is to say."""
SMALL: Final = -13
SMALL_TEXT: Final = 5_000
"""Bytes of a document that fits into a window of 8 KB with the dictionary: its packer is copied fast."""

DICTIONARIES: Final[Mapping[int, bytes]] = {
    1: (
        b'"sip":{"sipServer":"","username":"","password":""},"setRegionEffect":"","primary":"","custom":[{"r'
        b'egion":[{"id":"1","shape":"rectangle","area":{"left":"0","top":"0","width":"1","height":"1"}},{"id'
        b'":"2","shape":"rectangle","area":{"left":"1/2","top":"1/2","width":"1/2","height":"1/2"}}]}],"base'
        b'":"lecture","base":"void","fitPolicy":"crop","bitrate":2000,"video":false,"hd720p":{"width":1280,"'
        b'height":720},{"width":1920,"height":1080},"framerate":30,{"codec":"h264","profile":"CB"},{"codec":'
        b'"pcmu"},{"name":"r","participantLimit":-1,"inputLimit":-1,"selectActiveAudio":false,"enableBandwid'
        b'thAdaptation":false,"roles":[{"role":"presenter","publish":{"audio":true,"video":true},"subscribe"'
        b':{"audio":true,"video":true}},{"role":"viewer","publish":{"audio":false,"video":false},"subscribe"'
        b':{"audio":true,"video":true}},{"role":"audio_only_presenter","publish":{"audio":true,"video":false'
        b'},"subscribe":{"audio":true,"video":false}},{"role":"video_only_viewer","publish":{"audio":false,"'
        b'video":false},"subscribe":{"audio":false,"video":true}},{"role":"sip","publish":{"audio":true,"vid'
        b'eo":true},"subscribe":{"audio":true,"video":true}}],"views":[{"label":"common","audio":{"format":{'
        b'"codec":"opus","sampleRate":48000,"channelNum":2},"vad":true},"video":{"format":{"codec":"vp8"},"p'
        b'arameters":{"resolution":{"width":640,"height":480},"framerate":24,"keyFrameInterval":100},"maxInp'
        b'ut":16,"motionFactor":0.8,"bgColor":{"r":0,"g":0,"b":0},"keepActiveInputPrimary":false,"layout":{"'
        b'fitPolicy":"letterbox","templates":{"base":"fluid","custom":[]}}}}],"mediaIn":{"audio":[{"codec":"'
        b'opus","sampleRate":48000,"channelNum":2},{"codec":"isac","sampleRate":16000},{"codec":"isac","samp'
        b'leRate":32000},{"codec":"g722","sampleRate":16000,"channelNum":1},{"codec":"pcma"},{"codec":"pcmu"'
        b'},{"codec":"aac"},{"codec":"ac3"},{"codec":"nellymoser"},{"codec":"ilbc"}],"video":[{"codec":"h264'
        b'"},{"codec":"vp8"},{"codec":"vp9"}]},"mediaOut":{"audio":[{"codec":"opus","sampleRate":48000,"chan'
        b'nelNum":2},{"codec":"isac","sampleRate":16000},{"codec":"isac","sampleRate":32000},{"codec":"g722"'
        b',"sampleRate":16000,"channelNum":1},{"codec":"pcma"},{"codec":"pcmu"},{"codec":"aac","sampleRate":'
        b'48000,"channelNum":2},{"codec":"ac3"},{"codec":"nellymoser"},{"codec":"ilbc"}],"video":{"format":['
        b'{"codec":"vp8"},{"codec":"h264","profile":"CB"},{"codec":"h264","profile":"B"},{"codec":"vp9"}],"p'
        b'arameters":{"resolution":["x3/4","x2/3","x1/2","x1/3","x1/4","hd1080p","hd720p","svga","vga","qvga'
        b'","cif"],"framerate":[6,12,15,24,30,48,60],"bitrate":["x0.8","x0.6","x0.4","x0.2"],"keyFrameInterv'
        b'al":[100,30,5,2,1]}}},"transcoding":{"audio":true,"video":{"format":true,"parameters":{"resolution'
        b'":true,"framerate":true,"bitrate":true,"keyFrameInterval":true}}},"notifying":{"participantActivit'
        b'ies":true,"streamChange":true}}'
    )
}
NEWEST: Final = 1

_small_packer: Final = zlib.compressobj(3, zlib.DEFLATED, SMALL, 5, zdict=DICTIONARIES[NEWEST])
_reader: Final = msgspec.json.Decoder(dict[str, Any])


def spell(document: Mapping[str, Any]) -> bytes:
    """A document as compact JSON; numbers of any size are kept as they are."""
    return msgspec.json.encode(document)


def pack(text: bytes) -> bytes:
    """What is stored of a document."""
    if len(text) <= SMALL_TEXT:
        packer = _small_packer.copy()
    else:
        packer = zlib.compressobj(9, zlib.DEFLATED, RAW, zdict=DICTIONARIES[NEWEST])
    return bytes([NEWEST]) + packer.compress(text) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """The document as it was spelled."""
    unpacker = zlib.decompressobj(RAW, zdict=DICTIONARIES[packed[0]])
    return unpacker.decompress(packed[1:])


def read(text: bytes) -> dict[str, Any]:
    """The document that was spelled."""
    return _reader.decode(text)
