"""Help that belongs to no single command: exit codes, targets, requests, variables, environments."""

from __future__ import annotations

EXIT_CODES = """\
Exit codes

  the job's own   `run`, `rerun`, `wait` and `logs -f` hand it through; 128 + N for a program killed by signal N
  0               done
  1               afield failed in a way not listed here
  2               usage or configuration
  3               no such job, node or file
  4               not allowed
  5               no node can ever meet the request
  6               a node is unreachable, or the job is lost
  7               code, environment, setup or preflight could not be made ready
  75              preempted
  124             timed out
  130             stopped, or interrupted

Where the two could be confused, `--json` has "source": "job" or "afield", and the last line on stderr names it.
"""

TARGETS = """\
Targets

  12, job:12      a job by its number
  12:3            process 3 of it, for forward
  @last           the newest job
  box1, node:box1 a node by its name (afield node ls)
"""

PLACES = """\
Places of data, for push, pull, ls and cat

  box1:data/x            in your area on box1 (a job's USER_DIR); node:box1:data/x too
  box1:shared:data/x     in the area that all jobs see (SHARED_DIR)
  box1:/scratch/x        that folder of the node; box1:~/x in the account's home
  12:keep/model.pt       in the folder of job 12 (its newest attempt); job:12:… and @last:… too
  home:x  shared:x       on the one node that was added, or with -n NODE, or --all

A word without a colon before its first slash is a file or folder here: write ./a:b for one with a colon.
"""

REQUEST = """\
Requests

  afield run --request '2:[8:gtx1070]' …   two processes with eight devices each
  afield run --request '[2:gpu]' …         one process with two devices of any model; short: -g 2
  afield run --request '2:[],4:[cpu=2]' …  two processes that ask nothing, and four with two cores each
  afield run --request '[mem=40G,disk=3G]' one process with memory and disk

  request = pgroup {"," pgroup}    pgroup = [count ":"] process    process = "[" [item {"," item}] "]"
  item    = [count ":"] name | ("cpu" | "mem" | "disk") "=" amount

A process never spans nodes. A process that asks no cpu takes one core, softly: an idle node takes any number of them.
"""

VARIABLES = """\
Variables of every process

  RANK LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT     as distributed training expects them
  NUM_GROUPS  NUM_PROCESSES_GROUP<i>  HOST_GROUP<i>_PROCESS<j>  GROUP_INDEX  PROCESS_INDEX
  JOB_NUMBER CONTINUE_JOB_NUMBER AFIELD_JOB AFIELD_ATTEMPT AFIELD_NODE AFIELD_WORKER AFIELD_WORKERS AFIELD_RESUME
  TP_ASIC_NAME TP_ASIC_WORKER                            node and worker in the words of an older tool
  SRC_DIR      the job's own copy of your code            OUTPUT_DIR   what is left here comes home
  JOB_DIR      the job's folder on the node               KEEP_DIR     stays for a later attempt
  USER_DIR SHARED_DIR                                     RESULT_FILE  a place for one result
  CUDA_VISIBLE_DEVICES                                    the devices that were granted

Nothing of your shell's environment leaks into a job: -e K=V sets a variable, -e K passes yours. Setup and preflight
have these and yours too, without those of one process; so has a command that `afield exec JOB` runs.
"""

ENVIRONMENT = """\
Environments

The first of these that is found, in the command's folder and then in the workspace's top, defines the environment:
uv.lock, pyproject.toml, a script's own header (PEP 723), requirements.txt. Without any, the code's imports do, in the
versions installed here (VIRTUAL_ENV, .venv in the project, else python3; the one that afield runs from comes after
.venv); without those, a .py file runs under the node's own Python. It is built once per node with uv, named by the
hash of what defines it, and shared by jobs. Your files are never rewritten.

  --python 3.12          another interpreter
  --environment none     use what the node has: conda, modules, containers
  --environment plain    the node's own Python, nothing installed
  --environment imports  the imports, although a file is there; refuses what is not installed here
  --environment FILE     this file

`afield init --dry-run` shows what is found. A package that is not installed here is named, never guessed.
"""

DATA = """\
Data: what lies where, and for how long

  SRC_DIR       the job's own copy of your code; it may write there, nothing of it comes home
  OUTPUT_DIR    comes home to outputs/JOB/ in the workspace, also when the job fails
  KEEP_DIR      checkpoints: mirrored to your machine for jobs that may be resumed, handed to the next attempt
  RESULT_FILE   a place for one result in OUTPUT_DIR
  USER_DIR      your area on that node, for all your jobs; afield never removes anything there
  SHARED_DIR    the area that all jobs of the store see on that node

  afield push data/ box1:data/         into your area     afield run --outputs '*.pt' train.py   these come home too
  afield fetch https://… -n box1       download there     afield run --continue 12 train.py      begin with 12's keep
  afield pull 12                       results, again     afield ls 12:                          what is there now

Folders of ended jobs leave a node seven days after everything of them is on your machine.
"""

FILES = """\
Files that are sent

  The workspace is the nearest folder with an afield.toml, else the top of the git checkout, else this folder.
  Of it goes what git does not ignore, committed or not; never outputs/, and data/ only when it is included.

  .afieldignore      takes away, with patterns as in .gitignore
  .afieldinclude     adds what git ignores

`afield doctor` shows how much that is and the largest files. More than 1 GB is asked about first, or needs --big.
"""

SETTINGS = """\
Settings, the highest first

  a flag of `afield run`
  afield.local.toml in the workspace, for you alone: keep it out of git
  afield.toml in the workspace, or [tool.afield] in pyproject.toml
  config.toml in ~/.config/afield, or in AFIELD_CONFIG_DIR
  the default

  name = "vit"             keys are the names of the flags, and the keywords of afield.run in Python
  time = "2h"
  env = { SEED = "1" }     merged over all layers, variable by variable

`afield config` shows each value and the file and line that it comes from; an unknown key is refused with its line.

  AFIELD_STATE_DIR AFIELD_CACHE_DIR AFIELD_RUNTIME_DIR AFIELD_CONFIG_DIR   other folders
  AFIELD_SSH_CONFIG   another file for ssh      AFIELD_COLOR=always|never|auto   AFIELD_HINTS=0   no hints
"""

FORMATTING = """\
Output

  stdout is the answer, stderr the talk: `afield run -q eval.py > result.json` keeps only what the program said.
  On a terminal tables fit: columns are cut or left out. Into a pipe they are whole, with tabs, all columns.

  --json               everything, as one object in a line; `logs` prints one for each line
  --json phase,nodes   these fields of the things that the answer is about
  -q                   only the program's output, and errors

Colours: green is good, yellow waits, red failed. NO_COLOR=1, AFIELD_COLOR=never or TERM=dumb switch them off,
FORCE_COLOR=1 or AFIELD_COLOR=always on. Each colour has a word or a sign beside it.
"""

TOPICS = {
    "exit-codes": EXIT_CODES,
    "targets": TARGETS,
    "places": PLACES,
    "data": DATA,
    "files": FILES,
    "request": REQUEST,
    "variables": VARIABLES,
    "environment": ENVIRONMENT,
    "settings": SETTINGS,
    "formatting": FORMATTING,
}

ALSO = {
    "requests": "request",
    "environments": "environment",
    "variable": "variables",
    "env": "variables",
    "target": "targets",
    "place": "places",
    "exit-code": "exit-codes",
    "json": "formatting",
    "colors": "formatting",
    "ignore": "files",
}
"""Words under which a topic is looked for, too."""
