"""Ways to run Intarsia: `local` on one machine, `k8s` on many."""
