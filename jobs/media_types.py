"""The media types that are taken, and how files begin, by which they and many others are recognised."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HEAD_BYTES = 4096  # by which a file is recognised


class MediaType(NamedTuple):
    """A media type that is taken, what people call it, and the suffix of its files."""

    name: str
    title: str
    suffix: str


IMAGES = (
    MediaType("image/jpeg", "JPEG", "jpg"),
    MediaType("image/png", "PNG", "png"),
    MediaType("image/webp", "WebP", "webp"),
    MediaType("image/heic", "HEIC", "heic"),
    MediaType("image/avif", "AVIF", "avif"),
)
SOUNDS = (
    MediaType("audio/wav", "WAV", "wav"),
    MediaType("audio/flac", "FLAC", "flac"),
    MediaType("audio/ogg", "OGG", "ogg"),
    MediaType("audio/mpeg", "MP3", "mp3"),
    MediaType("audio/mp4", "M4A", "m4a"),
    MediaType("audio/aac", "AAC", "aac"),
    MediaType("audio/amr", "AMR", "amr"),
    MediaType("audio/amr-wb", "AMR", "awb"),
    MediaType("audio/aiff", "AIFF", "aiff"),
    MediaType("audio/webm", "WebM", "webm"),
    MediaType("audio/matroska", "MKA", "mka"),
)
VIDEOS = (
    MediaType("video/mp4", "MP4", "mp4"),
    MediaType("video/quicktime", "MOV", "mov"),
    MediaType("video/webm", "WebM", "webm"),
    MediaType("video/matroska", "MKV", "mkv"),
    MediaType("video/x-msvideo", "AVI", "avi"),
    MediaType("video/mp2t", "MPEG-TS", "ts"),
)

# These containers do not say at their beginning whether there are pictures in them. Where sound is wanted, theirs is.
SOUND_OF = {
    "video/mp4": "audio/mp4",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/matroska": "audio/matroska",
}

IMAGE_TYPES = tuple(each.name for each in IMAGES)
VIDEO_TYPES = tuple(each.name for each in VIDEOS)
AUDIO_TYPES = (*(each.name for each in SOUNDS), *(name for name in VIDEO_TYPES if name not in SOUND_OF))
SUFFIXES = {each.name: each.suffix for each in (*IMAGES, *SOUNDS, *VIDEOS)}

UNKNOWN = "application/octet-stream"

# What begins with these bytes; most are only known so as to say what was got.
_MAGIC = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"II*\0\x10\0\0\0CR": "image/x-canon-cr2",
    b"II*\0": "image/tiff",
    b"II+\0": "image/tiff",
    b"MM\0*": "image/tiff",
    b"MM\0+": "image/tiff",
    b"IIU\0": "image/x-panasonic-rw2",
    b"IIRO": "image/x-olympus-orf",
    b"IIRS": "image/x-olympus-orf",
    b"FUJIFILMCCD-RAW": "image/x-fuji-raf",
    b"\0\0\1\0": "image/vnd.microsoft.icon",
    b"8BPS": "image/vnd.adobe.photoshop",
    b"gimp xcf": "image/x-xcf",
    b"\xff\x0a": "image/jxl",
    b"\0\0\0\x0cJXL \r\n\x87\n": "image/jxl",
    b"\0\0\0\x0cjP  \r\n\x87\n": "image/jp2",
    b"\xff\x4f\xff\x51": "image/jp2",
    b"v/1\x01": "image/x-exr",
    b"#?RADIANCE": "image/vnd.radiance",
    b"qoif": "image/qoi",
    b"DDS ": "image/vnd-ms.dds",
    b"P5\n": "image/x-portable-anymap",
    b"P6\n": "image/x-portable-anymap",
    b"BM": "image/bmp",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"ID3": "audio/mpeg",
    b"#!AMR-WB": "audio/amr-wb",
    b"#!AMR": "audio/amr",
    b".snd": "audio/basic",
    b"caff": "audio/x-caf",
    b"riff\x2e\x91\xcf\x11": "audio/x-w64",
    b"MThd": "audio/midi",
    b"MAC ": "audio/x-ape",
    b"wvpk": "audio/x-wavpack",
    b"MPCK": "audio/x-musepack",
    b"MP+": "audio/x-musepack",
    b"TTA": "audio/x-tta",
    b"DSD ": "audio/x-dsf",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "video/x-ms-asf",
    b"FLV\x01": "video/x-flv",
    b".RMF": "application/vnd.rn-realmedia",
    b"\0\0\1\xba": "video/mpeg",
    b"\0\0\1\xb3": "video/mpeg",
    b"%PDF-": "application/pdf",
    b"%!PS": "application/postscript",
    b"PK\x03\x04": "application/zip",
    b"\x1f\x8b": "application/gzip",
    b"BZh": "application/x-bzip2",
    b"\xfd7zXZ\0": "application/x-xz",
    b"\x28\xb5\x2f\xfd": "application/zstd",
    b"7z\xbc\xaf\x27\x1c": "application/x-7z-compressed",
    b"Rar!\x1a\x07": "application/vnd.rar",
    b"\x7fELF": "application/x-elf",
    b"MZ": "application/vnd.microsoft.portable-executable",
    b"<svg": "image/svg+xml",
    b"<": "text/html",
    b"{": "application/json",
}
_RIFF_FORMS = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
# By the first brand alone.
_ISO_BRANDS = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"crx ": "image/x-canon-cr3",
    b"jp2 ": "image/jp2",
    b"jpx ": "image/jpx",
    b"mjp2": "video/mj2",
}
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_SEQUENCES = {b"avis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF = {b"mif1", b"msf1", b"miaf"}  # of pictures in any coding
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # of files from before brands
_PACKETS = ((188, 0), (192, 4), (204, 0))  # of MPEG-TS: length, and where in them the synchronising byte is


def listed(kinds: Iterable[MediaType]) -> str:
    """What people call some media types, such as `JPEG, PNG or WebP`."""
    *most, last = dict.fromkeys(each.title for each in kinds)
    return f"{', '.join(most)} or {last}"


def type_of(path: Path) -> str:
    """The media type of a file, as `recognise` knows it."""
    with path.open("rb") as file:
        return recognise(file.read(HEAD_BYTES))


def recognise(head: bytes) -> str:
    """The media type a file's first HEAD_BYTES speak of; `application/octet-stream` for what we do not know."""
    found = (look(head) for look in (_of_iff, _of_ebml, _of_boxes, _of_magic, _of_packets, _of_frames))
    return next(filter(None, found), UNKNOWN)


def _of_iff(head: bytes) -> str | None:
    if head[:4] == b"FORM":
        return "audio/aiff" if head[8:12] in (b"AIFF", b"AIFC") else None
    return _RIFF_FORMS.get(head[8:12]) if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") else None


def _of_ebml(head: bytes) -> str | None:
    """Matroska, of which WebM is a kind: their header has a document type."""
    if head[:4] != b"\x1a\x45\xdf\xa3":
        return None
    at = head.find(b"\x42\x82")
    return "video/webm" if at > 0 and head[at + 3 : at + 7] == b"webm" else "video/matroska"


def _of_boxes(head: bytes) -> str | None:
    """MP4 and its kin, by their brands: the first, and those that the file is compatible with."""
    if head[4:8] != b"ftyp":
        return "video/quicktime" if head[4:8] in _QUICKTIME_ATOMS else None
    length = min(int.from_bytes(head[:4], "big"), len(head))
    first, brands = head[8:12], {head[at : at + 4] for at in (8, *range(16, length - 3, 4))}
    if first in _ISO_BRANDS:
        return _ISO_BRANDS[first]
    pictures = first in _HEIF | _AVIF | _HEIC  # else it is a video, unless it says that it is also a still picture
    avif, heic = (_AVIF, _HEIC) if pictures else (_AVIF - _SEQUENCES, _HEIC - _SEQUENCES)
    if first not in _HEIC and brands & avif:
        return "image/avif"
    return "image/heic" if pictures or brands & heic else "video/mp4"


def _of_magic(head: bytes) -> str | None:
    return next((media_type for magic, media_type in _MAGIC.items() if head.startswith(magic)), None)


def _of_packets(head: bytes) -> str | None:
    """MPEG-TS, each of whose packets has the same byte."""
    for length, place in _PACKETS:
        synchronising = head[place::length]
        if len(synchronising) >= 3 and not synchronising.strip(b"\x47"):
            return "video/mp2t"
    return None


def _of_frames(head: bytes) -> str | None:
    """Bare frames of sound: AAC (ADTS) and MP3. Some programs write zeros before the first one."""
    head = head.lstrip(b"\0")
    if len(head) < 6 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0:  # twelve bits to synchronise, and the layer that MPEG audio has not
        following = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return "audio/aac" if following > 6 and head[following : following + 1] in (b"\xff", b"") else None
    # Eleven bits, layer II or III, a bit rate and a sample rate that are not forbidden
    layer, bits, rate = head[1] & 0x06, head[2] & 0xF0, head[2] & 0x0C
    return "audio/mpeg" if head[1] & 0xE0 == 0xE0 and layer in (2, 4) and bits != 0xF0 and rate != 0x0C else None
