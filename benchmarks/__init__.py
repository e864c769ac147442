"""Benchmarks: questions about the platform, each with a command and a report.

workload         seeded pictures, regions and arrivals
report           figures with their origin, written to results/
options          the command line options that benchmarks share
stack            starts the platform for a measurement, and reads its metrics
triton_client    a denoising request by a plain Triton client
damaged_files    a folder of pictures, some of them damaged
leftovers        what a program has started, and whether anything of it is left
filled_ledger    a ledger with many jobs
durable_commits  counts the commits that wait for a disk

step_sharing     does sharing steps pay?
learnt_prices    does it pay to learn the prices of passes while serving?
step_overhead    what does a step cost through Triton, beyond the step loop?
served_sharing   does it still pay with everything around it?
service_cost     what does the service cost, compared with the plain pipeline?
cancel_latency   how soon is the slot of a cancelled edit free?
region_cost      does an edit cost what its region costs, or what its picture costs?
open_loop        what do independent users experience at a given rate of arrivals?
perf             what throughput do single models have, by perf_analyzer?
adapters         what do adapters cost?
before_after     does this checkout cost more than an earlier one?
folder           does a folder complete despite damaged files and a killed client?
kill_jobs        do jobs survive kills of the orchestrator, of the model server, and of both?
recovery         how soon does the platform work again after one of its processes died?
ledger_costs     what do the ledger's operations cost, with few jobs and with many?
long_clip        does memory stay flat however long a clip is?
gpu              how fast is everything on a GPU?
served_figures   does the service reach the figures on the cards of the starter weights?
outlines         what is left of things, and what around them is touched, by growth and feather?

Machines are noisy: alternatives are measured in turns within one run, and compared by medians of ratios.
"""

import os

# As in the served models (deploy/local/triton.py): the threads of a pass do not spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
