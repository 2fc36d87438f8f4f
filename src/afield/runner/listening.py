"""Whether something listens at a port or a Unix socket of this node, without knocking: a knock is a connection."""

LISTEN = "0A"  # the kernel's number for a TCP socket that listens


def listens(place):
    """Whether a port of our loopback ("6006") or a socket ("/…") has a listener; None where the kernel does not say."""
    return _socket(place) if place.startswith("/") else _port(int(place))


def _port(number):
    known = None
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        lines = _lines(table)
        if lines is None:
            continue
        known = known or any(_is_open(line.split(), number) for line in lines)
    return known


def _is_open(fields, number):
    if len(fields) < 4 or fields[3] != LISTEN:
        return False
    address, _, port = fields[1].rpartition(":")
    # The bytes of each word stand in the machine's order, so 127.0.0.1 ends (or begins) with 7F.
    ours = not address.strip("0") or address in (
        "0100007F",
        "7F000001",
        "00000000000000000000000001000000",
        "00000000000000000000000000000001",
        "0000000000000000FFFF00000100007F",
    )
    return ours and int(port, 16) == number


def _socket(path):
    lines = _lines("/proc/net/unix")
    # Flags 00010000: it accepts connections.
    return (
        None
        if lines is None
        else any(line.split(None, 7)[3] == "00010000" and line.endswith(" " + path) for line in lines)
    )


def _lines(path):
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read().splitlines()[1:]
    except OSError:
        return None
