"""The accelerators of this node from the words of `nvidia-smi`. Reading its output is apart from running it."""

MIB = 1024 * 1024
GPU_FIELDS = "index,uuid,name,memory.total,memory.used"
MIG_FIELD = ",mig.mode.current"
APP_FIELDS = "gpu_uuid,pid,process_name"
_MAKERS = ("nvidia", "geforce", "tesla", "quadro", "generation", "graphics", "device")
_FORMS = (
    "sxm",
    "pcie",
    "hbm",
    "nvl",
    "sxm2",
    "sxm3",
    "sxm4",
    "sxm5",
    "hbm2",
    "hbm2e",
    "hbm3",
    "hbm3e",
    "laptop",
    "with",
    "gpu",
)


def model(name):
    """The short name of a device type: "NVIDIA A100-SXM4-80GB" is "a100", "NVIDIA GeForce GTX 1070" is "gtx1070"."""
    words = [word for word in name.lower().replace("-", " ").replace("/", " ").split() if word not in _MAKERS]
    kept = []
    for word in words:
        if kept and (word in _FORMS or (word.endswith("gb") and word[:-2].isdigit())):
            break
        kept.append(word)
    return "".join(c for c in "".join(kept) if c.isalnum()) or "gpu"


def parse(gpus, apps="", listing="", owner=lambda pid: "?"):
    """(devices, trouble) from three outputs: the query of GPUs, that of compute processes, and `-L` where MIG is on.

    `owner(pid)` names the user of a process, or gives "" for one that does not count. Lines that are no rows of the
    table are trouble: text for people.
    """
    devices, trouble = [], []
    partitions = parse_listing(listing)
    for line in gpus.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) < 5 or not fields[0].isdigit() or not fields[1].startswith("GPU-"):
            trouble += [line.strip()] if line.strip() else []
            continue
        device = _device(fields)
        if len(fields) > 5 and fields[5] == "Enabled":
            devices += [_partition(device, *row) for row in partitions.get(fields[1], [])]
        else:
            devices.append(device)
    _mark_busy(devices, apps, owner)
    return devices, " ".join(trouble)


def parse_listing(listing):
    """GPU UUID to [(profile, MIG UUID)] from the output of `nvidia-smi -L`."""
    found, current = {}, None
    for line in listing.splitlines():
        _, _, tail = line.partition("(UUID: ")
        uuid = tail.rstrip(") \n")
        if line.startswith("GPU "):
            current = found.setdefault(uuid, [])
        elif line.strip().startswith("MIG ") and uuid and current is not None:
            current.append((line.split()[1], uuid))
    return found


def _device(fields):
    return {
        "id": fields[1],
        "index": int(fields[0]),
        "model": model(fields[2]),
        "memory_bytes": _mib(fields[3]),
        "used_bytes": _mib(fields[4]),
        "taken_bytes": _mib(fields[4]),
        "busy": "",
    }


def _partition(device, profile, uuid):
    size = profile.rpartition(".")[2]
    gigabytes = int(size[:-2]) if size.endswith("gb") and size[:-2].isdigit() else 0
    name = "%s-%s" % (device["model"], profile)
    return dict(device, id=uuid, model=name, memory_bytes=gigabytes * 1024 * MIB, used_bytes=0, taken_bytes=0)


def _mib(text):
    return int(text) * MIB if text.isdigit() else 0


def _mark_busy(devices, apps, owner):
    by_id = {device["id"]: device for device in devices}
    for line in apps.splitlines():
        fields = [field.strip() for field in line.split(",", 2)]
        if len(fields) < 3 or fields[0] not in by_id or not fields[1].isdigit():
            continue
        user = owner(int(fields[1]))
        if not user:
            # Which part of it is ours nobody says; and while a job of ours is here no other is.
            by_id[fields[0]]["taken_bytes"] = 0
        if user and not by_id[fields[0]]["busy"]:
            name = fields[2].rpartition("/")[2]
            by_id[fields[0]]["busy"] = " ".join(filter(None, (user, fields[1], "" if name.startswith("[") else name)))
