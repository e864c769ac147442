"""Questions put to the platform, each with a command and an answer that says how it was found.

workload         seeded pictures, regions and arrivals
report           figures with their origin, written to results/
options          what every benchmark can be told
running          stacks and their figures, for the time of a measurement
stranger         a bare Triton client for the denoiser

step_sharing     does sharing steps pay?
served_sharing   does it still pay with everything around it?
service_cost     what does the service cost beside the bare pipeline?
cancel_latency   how soon is the slot of a cancelled edit free?
region_cost      does an edit cost what its region costs, or what its picture costs?
open_loop        what do users see who do not wait for each other?
perf             what do single models bear, by perf_analyzer?

Machines are noisy: what is compared is measured in turns within one run, and judged by medians of ratios.
"""

import os

# As in the served models (deploy/local/triton.py): the threads of a pass do not spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
