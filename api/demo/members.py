"""The two members of the demo, with their private and their shared documents."""

from dataclasses import dataclass

WEEK = (
    "Week {}: weigh every bird on Monday before the first feeding. A bird that has lost more than a "
    "twentieth since the week before is fed by hand, and the veterinarian is told. Vitamin B1 goes into "
    "the first fish of the day."
)
FEEDING_PLAN = "\n\n".join(
    ["African penguins: sprat and anchovy, twice a day.", *map(WEEK.format, range(1, 13))]
)


@dataclass(frozen=True, slots=True)
class DemoDocument:
    title: str
    category: str
    visibility: str
    text: str


@dataclass(frozen=True, slots=True)
class DemoMember:
    email: str
    name: str
    bio: str
    language: str
    colour: str
    documents: tuple[DemoDocument, ...]


MEMBERS = [
    DemoMember(
        email="alice@example.org",
        name="Alice",
        bio="Keeper of the penguins.",
        language="en",
        colour="#2e6f95",
        documents=(
            DemoDocument(
                title="Feeding plan, winter",
                category="care",
                visibility="private",
                text=FEEDING_PLAN,
            ),
            DemoDocument(
                title="Visitor rules",
                category="house",
                visibility="authenticated",
                text="Please do not tap on the glass, and do not feed the animals: each has its own plan.",
            ),
        ),
    ),
    DemoMember(
        email="bob@example.org",
        name="Bob",
        bio="Veterinarian.",
        language="en",
        colour="#8a5a3b",
        documents=(
            DemoDocument(
                title="Quarantine protocol",
                category="care",
                visibility="private",
                text="Thirty days, two negative samples.",
            ),
        ),
    ),
]
