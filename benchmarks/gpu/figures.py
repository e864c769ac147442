"""The figures with their bars, and the sizes that they are measured at."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Scale:
    """Sizes of a run. Sides of latents are in cells, all others in pixels."""

    small: int  # sides of the latents of the step loop by itself
    large: int
    steps: int  # of each request there
    price_seconds: float  # for the first prices of its passes
    tokens: int  # of its text
    picture: tuple[int, int]  # width and height of the edited picture
    region: int  # side of the edited square
    working_size: int  # that it is edited at
    edit_steps: int
    edits: int  # of each client in a round
    mixed_sides: tuple[int, ...]  # of the latents of mixed edits
    mixed_steps: tuple[int, int]  # least and most
    clip: tuple[int, int]
    frames: int
    rounds: int  # of every measurement, at most
    warm_runs: int  # of everything that is measured, at most
    matrix: int  # side of the matrices whose product gives the arithmetic peak
    compiler: str  # backend of torch.compile


FULL = Scale(
    small=16,
    large=64,
    steps=12,
    price_seconds=4.0,
    tokens=77,
    picture=(1024, 768),
    region=384,  # with its surroundings twice as wide
    working_size=512,
    edit_steps=20,
    edits=2,
    mixed_sides=(16, 32, 48, 64),
    mixed_steps=(5, 30),
    clip=(1280, 720),
    frames=48,
    rounds=5,
    warm_runs=8,
    matrix=8192,
    compiler="inductor",
)
TINY = Scale(
    small=4,
    large=8,
    steps=2,
    price_seconds=0.3,
    tokens=16,
    picture=(160, 128),
    region=64,
    working_size=64,
    edit_steps=2,
    edits=1,
    mixed_sides=(8, 16),
    mixed_steps=(1, 2),
    clip=(96, 64),
    frames=4,
    rounds=1,
    warm_runs=1,
    matrix=128,
    compiler="eager",  # follows the network, and makes no code of it
)

_COMPILING = 70.0  # seconds for the loop, and as many for the pipeline
_COMPILED_1 = 12.0  # at least, of one request
MANY = 8  # requests or clients of the figures for company


@dataclass(frozen=True)
class Figure:
    """One line of the table. `at_least` and `goal` are in its unit, and None where there is no bar."""

    name: str
    words: str
    unit: str
    needs: float  # seconds; it is not begun if fewer are left
    at_least: float | None = None
    goal: float | None = None
    more_is_better: bool = False
    usual: bool = True  # measured unless others are asked for

    def reaches(self, value: float) -> bool | None:
        """Whether a value is as good as it must be at least; None without a bar."""
        if self.at_least is None:
            return None
        return value >= self.at_least if self.more_is_better else value <= self.at_least


@dataclass(frozen=True)
class LoopFigure(Figure):
    """The time of one step of so many requests, all with latents of this side. `compiled`: with a compiled
    network, in turns with a pipeline whose network is compiled too."""

    requests: int = 1
    side: int = 1
    compiled: bool = False


def figures(scale: Scale) -> tuple[Figure, ...]:
    """All figures, in the order in which they are measured: those with a bar come first."""

    def loop(
        name: str, requests: int, side: int, at_least: float | None = None, goal: float | None = None
    ) -> LoopFigure:
        words = f"loop, {requests} request{'s' if requests > 1 else ''}, {side} x {side} latents"
        unit = "ms a round"  # of one step for each request
        return LoopFigure(name, words, unit, 10.0, at_least, goal, requests=requests, side=side)

    size, (width, height) = scale.working_size, scale.clip
    cells = ", ".join(map(str, scale.mixed_sides))
    first = (
        loop("loop-1", 1, scale.large, 15.5, 9.0),
        loop("loop-8-small", MANY, scale.small, 16.0, 11.0),
        loop("loop-8", MANY, scale.large, 78.0, 55.0),
        Figure("triton", "through Triton beyond the loop", "ms a step", 60.0, 2.0, 1.0),
        Figure("edit", f"one warm edit, {scale.edit_steps} steps at {size} px", "ms", 20.0, 450.0, 270.0),
        Figure("edits", f"{MANY} clients of that edit", "a second", 30.0, 4.5, 6.5, more_is_better=True),
        Figure(
            "mixed",
            f"{MANY} clients, latents of {cells} a side, {' to '.join(map(str, scale.mixed_steps))} steps, "
            "over one at a time",
            "times the pictures",
            40.0,
            1.5,
            2.5,
            more_is_better=True,
        ),
        Figure("follow", f"follow at {width} x {height}", "ms a frame", 25.0, 40.0, 28.0),
    )
    tracking = Figure("tracking", f"tracking at {width} x {height} without Triton", "ms a frame", 25.0)
    compiled = [
        replace(
            each,
            name=f"compiled{each.name.removeprefix('loop')}",
            words=f"{each.words}, both compiled",
            needs=each.needs + _COMPILING,
            at_least=_COMPILED_1 if each.requests == 1 else None,
            goal=each.goal if each.requests == 1 else None,
            compiled=True,
            usual=each.requests == 1,  # each takes two minutes
        )
        for each in first
        if isinstance(each, LoopFigure)
    ]
    others = [
        loop(f"loop-{requests}{suffix}", requests, side)
        for suffix, side in (("-small", scale.small), ("", scale.large))
        for requests in (1, 2, 4)
        if (requests, side) != (1, scale.large)
    ]
    return (*first, compiled[0], tracking, *others, *compiled[1:])
