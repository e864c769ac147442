"""Selecting: from the description of a region to its mask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from canvas.describe import describe
from canvas.doubts import doubts
from canvas.exclude import excluding_masks, excluding_points
from canvas.growth import resolve_shaping
from canvas.mask import box_mask, choose, combine, degrees, polygon_mask, shape
from canvas.outline import remove_specks
from canvas.region import (
    Box,
    Clicks,
    Combination,
    MaskCandidate,
    MaskPicture,
    Operation,
    Polygon,
    Region,
    Selector,
    Term,
    Words,
    every,
    in_pixels,
    term_field,
)
from canvas.validate import check_inside
from intarsia.errors import DoubtfulRegion, EmptyRegion
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import Picture, eight_bits
from orchestrator.models.sam import Sam
from orchestrator.models.weights import WeightsRef
from orchestrator.stages.factory import Stages

# Regions of a request that are found at once: each needs masks as large as the picture.
AT_ONCE = 4


@dataclass(frozen=True)
class FieldRegion:
    """A region, and the path of the field it was read from, which errors name."""

    region: Region
    field: str = "region"


@dataclass(frozen=True, eq=False)
class Selection:
    """Candidates by falling score, and the mask after choice and shaping.

    The mask is float32 (height, width) in [0, 1], grown by `grow` pixels. `notes` are the doubts about it.
    """

    candidates: tuple[MaskCandidate, ...]
    mask: np.ndarray
    score: float
    stability: float
    grow: float
    feather: float
    notes: tuple[str, ...] = ()


def needs_sam(target: FieldRegion) -> bool:
    """True if a region is not drawn by the client alone."""
    return any(finds(one) for one in every(target.region))


def finds(region: Region) -> bool:
    """True if a model makes the mask of this region, whoever makes those that it may be combined from."""
    return bool(region.corrections) or not _is_drawn(region.selector)


async def select(
    picture: Picture,
    target: FieldRegion,
    at: Stages,
    weights: WeightsRef | None = None,
    *,
    as_found: bool = False,
    strict: bool = False,
) -> Selection:
    """Find candidates, choose among them, correct the choice, shape its outline. With `weights`, only by
    those of `sam`. With `as_found`, it is grown only as the client says; with `strict`, a region with doubts
    about it is refused."""
    region = in_pixels(target.region, picture.width, picture.height)
    check_inside(region, picture.width, picture.height, field=target.field)
    found = await _Search(picture, at, at.sam.requiring(weights), grows=not as_found).find(
        region, target.field
    )
    await _check_not_empty(found, region)
    if strict and found.notes:
        raise DoubtfulRegion(
            f"{'; '.join(found.notes)}; point at the thing in another way, or leave `strict` out",
            field=target.field,
            score=f"{found.score:.3f}",
            stability=f"{found.stability:.3f}",
        )
    return found


@dataclass(frozen=True)
class _Search:
    """Finds regions in one picture. Coordinates are pixels; `field` is the path of the region.

    What a model finds is grown by default if the search `grows`.
    """

    picture: Picture
    at: Stages
    sam: Sam
    grows: bool = True

    async def find(self, region: Region, field: str) -> Selection:
        """Candidates and mask of a region, which shaping may have emptied. Raises `EmptyRegion` if nothing is
        found that could be shaped."""
        candidates = await self._candidates(region.selector, field)
        if not candidates:
            raise EmptyRegion(
                f"no pixel is selected by {describe(region.selector)}; point at the thing in another way"
            )
        chosen = await asyncio.to_thread(choose, candidates, region.choice, field=field)
        if region.corrections:
            clicks = region.corrections
            chosen = await self.sam.correct(await self._pixels(), chosen, clicks, f"{field}.corrections")
            chosen = await asyncio.to_thread(_clean, chosen)
        shaping = await asyncio.to_thread(resolve_shaping, region.shaping, chosen, grows=self.grows)
        mask = await asyncio.to_thread(shape, degrees(chosen), shaping)
        notes = await asyncio.to_thread(doubts, chosen, region)
        return Selection(
            candidates=tuple(candidates),
            mask=mask,
            score=chosen.score,
            stability=chosen.stability,
            grow=shaping.grow or 0.0,
            feather=shaping.feather or 0.0,
            notes=(*chosen.doubts, *notes),
        )

    async def _candidates(self, selector: Selector, field: str) -> list[MaskCandidate]:
        """Candidates by falling score, without empty ones."""
        if isinstance(selector, Words):
            return await self._find_words(selector, f"{field}.words")
        size = (self.picture.height, self.picture.width)
        if isinstance(selector, Combination):
            found = [await self._combine(selector, field)]
        elif isinstance(selector, Polygon):
            mask = await asyncio.to_thread(polygon_mask, selector.corners, *size, field=field)
            found = [MaskCandidate(mask, 1.0)]
        elif isinstance(selector, MaskPicture):
            found = [MaskCandidate(await self.at.pictures.load_mask(selector, self.picture, field), 1.0)]
        elif isinstance(selector, Box) and selector.exact:
            found = [MaskCandidate(await asyncio.to_thread(box_mask, selector, *size), 1.0)]
        else:
            path = f"{field}.clicks" if isinstance(selector, Clicks) else f"{field}.box"
            found = await self.sam.segment(await self._pixels(), selector, path)
        return await asyncio.to_thread(_rank, found)

    async def _find_words(self, words: Words, field: str) -> list[MaskCandidate]:
        """Every match of the phrase, except for the excluded ones."""
        pixels, threshold = await self._pixels(), words.threshold
        wanted, *unwanted = await gather_or_cancel(
            self.sam.segment_words(pixels, words.phrase, threshold, f"{field}.phrase"),
            *(
                self.sam.segment_words(pixels, phrase, threshold, f"{field}.not_phrases[{n}]")
                for n, phrase in enumerate(words.not_phrases)
            ),
        )
        found = await asyncio.to_thread(_rank, wanted.candidates)
        facts = {"phrase": words.phrase, "threshold": f"{threshold:g}", "best_score": f"{wanted.best:.3f}"}
        if not found:
            raise EmptyRegion(
                f"nothing is found by {describe(words)}: the best score seen is {wanted.best:.3f}; "
                "lower the threshold, or name it in other words",
                **facts,
            )
        things = [one.mask for other in unwanted for one in other.candidates]
        left = await asyncio.to_thread(excluding_masks, excluding_points(found, words.not_at), things)
        if not left:
            raise EmptyRegion(
                f"nothing is left of {describe(words)} without what must not be selected: candidates found "
                f"before: {len(found)}, the best with score {found[0].score:.3f}; exclude less",
                candidates=len(found),
                **facts,
            )
        return left

    async def _combine(self, combination: Combination, field: str) -> MaskCandidate:
        """The union of the terms in their order; a few are found at a time.

        Its score and its stability are the lowest of the terms that were added.
        """
        mask, added, notes = np.zeros((self.picture.height, self.picture.width), np.float32), [], []
        for group in _group_terms(combination.terms):
            found = await gather_or_cancel(*(self._term(term, n, term_field(field, n)) for n, term in group))
            for (n, term), one in zip(group, found, strict=True):
                mask = await asyncio.to_thread(combine, mask, one.mask, term.operation)
                notes += [f"region {n + 1} of those combined: {note}" for note in one.notes]
                if term.operation is Operation.PLUS:
                    added.append(one)
        return MaskCandidate(
            mask,
            min(one.score for one in added),
            stability=min(one.stability for one in added),
            doubts=tuple(notes),
        )

    async def _term(self, term: Term, n: int, field: str) -> Selection:
        """What a term selects. A term that is subtracted may be empty."""
        region = term.region
        # What is subtracted is taken as it was found: growing it would leave less than was asked for.
        search = replace(self, grows=self.grows and term.operation is not Operation.MINUS)
        try:
            found = await search.find(region, field)
            if term.operation is not Operation.MINUS:
                await _check_not_empty(found, region)
        except EmptyRegion as error:
            if term.operation is Operation.MINUS:
                nothing = np.zeros((self.picture.height, self.picture.width), np.float32)
                mask = await asyncio.to_thread(shape, nothing, region.shaping)
                return Selection((), mask, score=1.0, stability=1.0, grow=0.0, feather=0.0)
            message = f"region {n + 1} of those combined: {error.message}"
            raise EmptyRegion(message, **{"term": field, **error.facts}) from None
        return found

    async def _pixels(self) -> np.ndarray:
        return await asyncio.to_thread(eight_bits, self.picture.pixels)


async def _check_not_empty(found: Selection, region: Region) -> None:
    if not await asyncio.to_thread(np.any, found.mask):
        raise EmptyRegion(
            f"no pixel is left of {describe(region.selector)} after choice, correction and shaping; "
            "choose another candidate, or shrink it less",
            candidates=len(found.candidates),
            best_score=f"{found.candidates[0].score:.3f}",
        )


def _group_terms(terms: tuple[Term, ...]) -> Iterator[list[tuple[int, Term]]]:
    """Groups of neighbouring terms that are found at once; a combination needs more masks and is alone."""
    group: list[tuple[int, Term]] = []
    for n, term in enumerate(terms):
        alone = isinstance(term.region.selector, Combination)
        if group and (alone or len(group) == AT_ONCE):
            yield group
            group = []
        group.append((n, term))
        if alone:
            yield group
            group = []
    if group:
        yield group


def _rank(found: list[MaskCandidate]) -> list[MaskCandidate]:
    """Candidates by falling score, without empty ones."""
    ranked = sorted((one for one in found if one.mask.any()), key=lambda candidate: -candidate.score)
    return [_clean(one) for one in ranked]


def _clean(one: MaskCandidate) -> MaskCandidate:
    """A candidate without specks if a model made it; a drawn one is left as it is."""
    return replace(one, mask=remove_specks(one.mask)) if one.mask.dtype == np.uint8 else one


def _is_drawn(selector: Selector) -> bool:
    drawn = isinstance(selector, Polygon | MaskPicture | Combination)
    return drawn or (isinstance(selector, Box) and selector.exact)
