"""Names that say nothing about a package: Python's own modules by version, and modules called unlike their package."""

from __future__ import annotations

import re
import sys
from types import MappingProxyType

_ADDED = MappingProxyType(
    {
        "graphlib": (3, 9),
        "zoneinfo": (3, 9),
        "tomllib": (3, 11),
        "_pyrepl": (3, 13),
        "annotationlib": (3, 14),
        "compression": (3, 14),
    }
)
_GONE = MappingProxyType(
    {
        (3, 10): "formatter parser symbol",
        (3, 11): "binhex",
        (3, 12): "asynchat asyncore distutils imp smtpd",
        (3, 13): "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes sndhdr"
        " spwd sunau telnetlib uu xdrlib",
    }
)
"""Python's own modules that a later version has no more, by that version."""

_LAST = MappingProxyType({module: version for version, words in _GONE.items() for module in words.split()})

PACKAGES = MappingProxyType(
    {
        "Bio": "biopython",
        "Crypto": "pycryptodome",
        "MySQLdb": "mysqlclient",
        "OpenSSL": "pyopenssl",
        "PIL": "pillow",
        "attr": "attrs",
        "bs4": "beautifulsoup4",
        "cv2": "opencv-python-headless",
        "dateutil": "python-dateutil",
        "docx": "python-docx",
        "dotenv": "python-dotenv",
        "faiss": "faiss-cpu",
        "fitz": "pymupdf",
        "git": "gitpython",
        "github": "pygithub",
        "google.cloud.bigquery": "google-cloud-bigquery",
        "google.cloud.storage": "google-cloud-storage",
        "google.protobuf": "protobuf",
        "grpc": "grpcio",
        "jose": "python-jose",
        "jwt": "pyjwt",
        "magic": "python-magic",
        "mpl_toolkits": "matplotlib",
        "nacl": "pynacl",
        "osgeo": "gdal",
        "pkg_resources": "setuptools",
        "psycopg2": "psycopg2-binary",
        "pylab": "matplotlib",
        "ruamel": "ruamel.yaml",
        "serial": "pyserial",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "skopt": "scikit-optimize",
        "slugify": "python-slugify",
        "tensorboardX": "tensorboardx",
        "umap": "umap-learn",
        "usb": "pyusb",
        "websocket": "websocket-client",
        "wx": "wxpython",
        "yaml": "pyyaml",
        "zmq": "pyzmq",
    }
)
"""Well-known modules and the package that brings them: words for a person, never installed on this evidence alone."""


def is_standard(module: str, python: str) -> bool:
    """Whether a module belongs to Python itself, in the version asked for (such as "3.12"; any other text: to all)."""
    top = module.partition(".")[0]
    version = _version(python)
    if top in _LAST:
        return version is None or version < _LAST[top]
    if top in _ADDED:
        return version is None or version >= _ADDED[top]
    return top in sys.stdlib_module_names or top == "__main__"


def probable_package(module: str) -> str:
    """What the package of a module is probably called; it goes into a sentence, not into an environment."""
    name = module
    while name:
        if name in PACKAGES:
            return PACKAGES[name]
        name = name.rpartition(".")[0]
    return module.partition(".")[0].replace("_", "-").lower()


def _version(python: str) -> tuple[int, int] | None:
    found = re.search(r"(\d+)\.(\d+)", python)
    return (int(found[1]), int(found[2])) if found else None
