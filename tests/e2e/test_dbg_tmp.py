from tests.e2e import test_notebook as n
from tests.e2e.test_notebook import host, index, sandbox
import time, os, json


def test_dbg(sandbox, host):
    with n.shown(sandbox, "notebook", "-n", host.name, "--policy", "rerun", "-L", "0") as page:
        print("URL", page.url, flush=True)
        job = str(n.newest(sandbox)["number"])
        host.reboot()
        os.set_blocking(page.process.stderr.fileno(), False)
        for _ in range(20):
            time.sleep(5)
            print(
                time.time(),
                [(a["outcome"], a["state"]) for a in n.newest(sandbox)["attempts"]],
                page.process.stderr.read(),
                flush=True,
            )
            os.set_blocking(page.process.stdout.fileno(), False)
            print(page.process.stdout.read(), flush=True)
