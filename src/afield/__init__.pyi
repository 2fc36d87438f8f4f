from afield.errors import AfieldError as AfieldError
from afield.sdk.client import Client as Client
from afield.sdk.job import Job as Job
from afield.sdk.job import JobFailed as JobFailed
from afield.sdk.run import run as run
from afield.sdk.run import run_all as run_all

__version__: str
__all__ = ["AfieldError", "Client", "Job", "JobFailed", "run", "run_all"]
