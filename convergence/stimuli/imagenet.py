"""ImageNet's classes: their order, and the sixteen categories that the model-vs-human benchmark makes of some."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from convergence.system import torchvision_ops

# Of ILSVRC2012; known without importing the libraries that know the classes, which takes seconds.
NUMBER_OF_CLASSES = 1000


@functools.cache
def class_order() -> tuple[str, ...]:
    """The 1,000 WordNet ids of ILSVRC2012 in the order of a network's outputs."""
    torchvision_ops.ensure()
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def _spans(*spans: int | tuple[int, int]) -> list[int]:
    """Single classes, and spans with both their ends."""
    return [i for span in spans for i in ([span] if isinstance(span, int) else range(span[0], span[1] + 1))]


def spelt(name: str) -> str:
    """A class's name without what people write differently: case, spaces, underscores, hyphens, apostrophes, dots."""
    return re.sub(r"[\W_]+", "", name.casefold())


@functools.cache
def _names() -> tuple[Mapping[str, tuple[int, ...]], ...]:
    """Places of the classes by their first names as WordNet writes them, by these as ``spelt``, and by any name."""
    torchvision_ops.ensure()
    from timm.data import ImageNetInfo
    from torchvision.models import ResNet18_Weights

    descriptions = ImageNetInfo("imagenet-1k").label_descriptions()
    ways: tuple[dict[str, tuple[int, ...]], ...] = ({}, {}, {})
    for i, (text, short) in enumerate(zip(descriptions, ResNet18_Weights.DEFAULT.meta["categories"], strict=True)):
        names = text.split(",")
        for way, known in zip(ways, ([names[0]], [spelt(names[0])], map(spelt, [*names, text, short])), strict=True):
            for name in dict.fromkeys(known):
                way[name] = (*way.get(name, ()), i)
    return ways


def places_of(names: Sequence[str]) -> list[int | None]:
    """Places, in the order of a network's outputs, of classes by WordNet id or English name; None where one is unsure.

    A name that several classes have is the one's that has it as its first, or the one's that is left when all other
    names are given away: "crane" is the machine beside "crane bird", and nobody's else.
    """
    ids = {name: (i,) for i, name in enumerate(class_order())}
    exact, first, every = _names()
    plain_names = Counter(map(spelt, names))
    found = []
    for name in names:
        plain = spelt(name)
        as_written = exact.get(name) if plain_names[plain] > 1 else None  # Cardigan, a dog, beside cardigan
        ways = (ids.get(name), as_written, first.get(plain), every.get(plain))
        found.append(set(next((places for places in ways if places), ())))
    sure = {next(iter(places)) for places in found if len(places) == 1}
    left = [places if len(places) == 1 else places - sure for places in found]
    return [next(iter(places)) if len(places) == 1 else None for places in left]


# Places in the order of classes (Geirhos et al. 2018, arXiv 1808.08750). A category is most of what WordNet puts below
# it: cock, drake, Chihuahua and dalmatian, for instance, belong to none.
CATEGORIES: Mapping[str, Sequence[int]] = MappingProxyType(
    {
        "airplane": [404],
        "bear": _spans((294, 297)),
        "bicycle": [444, 671],
        "bird": _spans(
            *(8, (10, 16), (18, 20), (22, 24), (80, 83), (87, 96), (98, 100), (127, 133), (135, 145)),
        ),
        "boat": [472, 554, 625, 814, 914],
        "bottle": [440, 720, 737, 898, 899, 901, 907],
        "car": [436, 511, 817],
        "cat": _spans((281, 286)),
        "chair": [423, 559, 765, 857],
        "clock": [409, 530, 892],
        "dog": _spans(
            *((152, 191), (193, 203), (205, 226), (228, 241), (243, 250), (252, 257), 259, (261, 263), (265, 268)),
        ),
        "elephant": [385, 386],
        "keyboard": [508, 878],
        "knife": [499],
        "oven": [766],
        "truck": [555, 569, 656, 675, 717, 734, 864, 867],
    }
)


@functools.cache
def categories() -> Mapping[str, str]:
    """The category of each of the 207 classes that have one, by WordNet id."""
    order = class_order()
    return {order[i]: category for category, places in CATEGORIES.items() for i in places}


def understood(classes: Sequence[str]) -> tuple[str, ...]:
    """Categories and WordNet ids in place of other ways to spell them; what is neither stays as it is."""
    of_category = {spelt(name): name for name in CATEGORIES}
    places = places_of(classes)
    return tuple(
        of_category.get(spelt(name), name if place is None else class_order()[place])
        for name, place in zip(classes, places, strict=True)
    )
