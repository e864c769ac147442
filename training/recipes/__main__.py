"""Train every starter network from nothing, in the order they need each other, then measure them.

    python -m training.recipes                    about six hours on one core, resumable at any moment
    python -m training.recipes --scale 0.5        half of the time each

Each recipe can be killed and started again: it continues from its last saved state, and is skipped when
its time is spent.
"""

from __future__ import annotations

import argparse
import sys

from training.recipes import evaluate, ip2p, sam, sam_text, sd2_inpaint, tokenizer, vae
from training.recipes.options import parse_options

# Minutes of training on one quiet processor core. The cards state what each network really got.
ORDER = ((vae, 28.0), (tokenizer, 0.0), (ip2p, 75.0), (sam, 120.0), (sam_text, 100.0), (sd2_inpaint, 30.0))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the usual minutes")
    arguments, rest = parser.parse_known_args(argv)
    for number, (recipe, minutes) in enumerate(ORDER, start=1):
        name = recipe.__name__.rsplit(".", 1)[-1]
        options = parse_options(recipe.__doc__, minutes * arguments.scale, rest)
        print(f"{number} of {len(ORDER)}: {name}, {options.budget.minutes:.0f} minutes", flush=True)
        recipe.train(options)
    evaluate.main(["--starter", str(options.starter)])


if __name__ == "__main__":
    main(sys.argv[1:])
