from afield.errors import AfieldError as AfieldError
from afield.inside.current import current as current
from afield.sdk.call import Call as Call
from afield.sdk.client import Client as Client
from afield.sdk.executor import Executor as Executor
from afield.sdk.function import Function as Function
from afield.sdk.function import function as function
from afield.sdk.job import Job as Job
from afield.sdk.job import JobFailed as JobFailed
from afield.sdk.outcome import RemoteError as RemoteError
from afield.sdk.pickling import Unpicklable as Unpicklable
from afield.sdk.run import job as job
from afield.sdk.run import jobs as jobs
from afield.sdk.run import run as run
from afield.sdk.run import run_all as run_all

__version__: str
__all__ = [
    "AfieldError",
    "Call",
    "Client",
    "Executor",
    "Function",
    "Job",
    "JobFailed",
    "RemoteError",
    "Unpicklable",
    "current",
    "function",
    "job",
    "jobs",
    "run",
    "run_all",
]
