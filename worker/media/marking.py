"""Marks results as made by a machine, for machines: XMP in the file, in the words of the IPTC's digital source types.

EU AI Act, article 50(2); IPTC Photo Metadata Standard, "Digital Source Type"; XMP Specification, part 3 (ISO 16684-3
lists where each file format keeps its packet).
"""

import os
import struct
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"
    xmp:CreatorTool="PIRenderer"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>""".encode()

# ISO 16684-3: the UUID of the box that holds the packet at the top level of an MP4
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")

WEBM_TAGS = {"DIGITAL_SOURCE_TYPE": SOURCE_TYPE, "CREATOR_TOOL": "PIRenderer"}
"""What is told in a WebM, which has no place for XMP: tags of Matroska (RFC 9559, 5.1.8)."""

_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
# A reader that takes the packet for blocks of a GIF, each of which begins with its length, gets to the end by these.
_GIF_TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def png_mark() -> PngInfo:
    """The chunk that holds the packet in a PNG."""
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def mark_mp4(path: Path) -> None:
    """Append the box that holds the packet to a finished MP4; players skip it."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 8 + len(XMP_BOX) + len(XMP), b"uuid") + XMP_BOX + XMP)


def mark_gif(path: Path) -> None:
    """Put the application extension that holds the packet before the end of a finished GIF."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        end = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(_GIF_XMP + XMP + _GIF_TRAILER + end)
