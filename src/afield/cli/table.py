"""Every command: where its code is, its line in the overview, its group. Importing this loads no command."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command by name: module and attribute, one line of help, group in the overview ("" hides it there)."""

    module: str
    attribute: str
    line: str
    group: str


def _verb(name: str, line: str, group: str = "") -> tuple[str, Entry]:
    return name, Entry(f"afield.cli.verbs.{name}", "command", line, group)


COMMANDS: dict[str, Entry] = dict(
    [
        _verb("run", "run a command or a .py file on a node and bring its results home", "Run"),
        _verb("stop", "stop jobs, with everything they started", "Run"),
        _verb("rerun", "submit a job again, same code and request", "Run"),
        _verb("wait", "wait for a job and hand its exit code through", "Run"),
        _verb("notebook", "Jupyter on a node, in the project's environment", "Run"),
        _verb("tensorboard", "TensorBoard on the node where the logs are", "Run"),
        _verb("ps", "list jobs", "Look"),
        _verb("logs", "show a job's output, or follow it with -f", "Look"),
        _verb("show", "everything known about a job", "Look"),
        _verb("why", "why a job waits, or how it ended", "Look"),
        _verb("diff", "what changed in the code between two jobs, or since one", "Look"),
        _verb("top", "nodes, devices and jobs, live", "Look"),
        _verb("status", "one screen: nodes and jobs", "Look"),
        _verb("ls", "list files of a node or a job", "Data"),
        _verb("cat", "write out a file of a node or a job", "Data"),
        _verb("push", "bring files and folders to nodes", "Data"),
        _verb("pull", "bring a job's results, or files of nodes, home", "Data"),
        _verb("sync", "keep a folder of a node as it is here; --watch goes on", "Data"),
        _verb("fetch", "download on a node", "Data"),
        _verb("node", "add, list, change and remove nodes", "Machines"),
        _verb("exec", "run one command on nodes or beside a job, now", "Machines"),
        _verb("shell", "a shell on a node, or beside a job", "Machines"),
        _verb("forward", "a node's port on this machine", "Machines"),
        _verb("init", "look at the folder and write a small afield.toml", "Set up"),
        _verb("doctor", "check this machine, the project and nodes", "Set up"),
        _verb("config", "show settings and where each comes from", "Set up"),
        _verb("secret", "values that jobs get and that stand in no record", "Set up"),
        _verb("completion", "names complete with the Tab key: the script for your shell", "Set up"),
        _verb("bundle", "one archive that runs without afield", "Set up"),
        _verb("help", "help on a command or a topic", "Set up"),
    ]
)

NODE: dict[str, Entry] = {
    "add": Entry("afield.cli.verbs.node", "add", "add a host that ssh reaches", ""),
    "ls": Entry("afield.cli.verbs.node", "ls", "list nodes with what they have", ""),
    "show": Entry("afield.cli.verbs.node", "show_", "everything known about a node", ""),
    "set": Entry("afield.cli.verbs.node", "set_", "declare devices, an address, or drain it", ""),
    "login": Entry("afield.cli.verbs.node", "login", "log in where a password or second factor is asked", ""),
    "clean": Entry("afield.cli.verbs.node_clean", "clean", "remove what afield keeps there, or every trace", ""),
    "ssh-config": Entry("afield.cli.verbs.ssh_config", "command", "nodes as hosts for editors and ssh", ""),
    "rm": Entry("afield.cli.verbs.node", "rm", "forget a node", ""),
}

SECRET: dict[str, Entry] = {
    "set": Entry("afield.cli.verbs.secret", "set_", "keep a value, asked here or read from a pipe", ""),
    "ls": Entry("afield.cli.verbs.secret", "ls", "the names, and when each was set", ""),
    "rm": Entry("afield.cli.verbs.secret", "rm", "forget values", ""),
}

OTHER_WORDS = {
    "cp": "push or pull",
    "scp": "push or pull",
    "rsync": "sync, push or pull",
    "download": "pull",
    "mirror": "sync --watch",
    "upload": "push",
    "list": "ps",
    "jobs": "ps",
    "queue": "ps",
    "submit": "run -d",
    "sbatch": "run -d",
    "launch": "run",
    "cancel": "stop",
    "kill": "stop",
    "scancel": "stop",
    "log": "logs",
    "tail": "logs -f",
    "ssh": "shell",
    "fetch-results": "pull",
    "tunnel": "forward",
    "port-forward": "forward",
    "jupyter": "notebook",
    "lab": "notebook",
    "profile": "tensorboard",
    "code": "node ssh-config",
    "nodes": "node ls",
    "host": "node",
    "hosts": "node ls",
    "info": "show or node show",
    "explain": "why",
    "htop": "top",
    "watch": "top",
    "resume": "rerun",
    "restart": "rerun",
    "create": "node add",
    "delete": "node rm",
    "setup": "run --setup",
    "sshadd": "node add",
    "probe": "node ls --probe",
    "conf": "init",
    "async": "run --detach",
    "install": "run --environment",
    "purge": "stop --all",
    "data": "fetch",
    "man": "help",
}
"""Words of other tools, and what they are called here."""
