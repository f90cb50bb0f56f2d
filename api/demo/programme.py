"""The exhibitions of the demo (one closed, one open, one permanent) and its educational services."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class DemoExhibition:
    """`opens` and `closes` in days after its creation; without `closes` it is permanent.

    `species` by their scientific names.
    """

    title: str
    location: str
    description: str
    opens: int
    closes: int | None
    species: tuple[str, ...]

    def fields(self, today: date) -> dict[str, Any]:
        """Return the fields of an exhibition that is created today."""
        return {
            "title": self.title,
            "location": self.location,
            "description": self.description,
            "opens_on": today + timedelta(days=self.opens),
            "closes_on": None if self.closes is None else today + timedelta(days=self.closes),
        }

    def created_on(self, opens_on: date) -> date:
        return opens_on - timedelta(days=self.opens)


EXHIBITIONS = [
    DemoExhibition(
        title="Life at high altitude",
        location="Mountain house",
        description="How animals breathe, climb and keep warm where the air is thin.",
        opens=-200,
        closes=-20,
        species=("Ailurus fulgens", "Panthera uncia"),
    ),
    DemoExhibition(
        title="Wings and water",
        location="Lagoon hall",
        description="Birds and fish of shores, swamps and reefs, and what threatens them.",
        opens=-30,
        closes=60,
        species=(
            "Spheniscus demersus",
            "Phoenicopterus roseus",
            "Balaeniceps rex",
            "Pterapogon kauderni",
        ),
    ),
    DemoExhibition(
        title="Scales, shells and gills",
        location="Reptile house",
        description="Reptiles and amphibians, from a salamander to the largest living lizard.",
        opens=-1500,
        closes=None,
        species=(
            "Varanus komodoensis",
            "Aldabrachelys gigantea",
            "Gavialis gangeticus",
            "Ambystoma mexicanum",
        ),
    ),
]

#: The fields of each educational service, named as in the API, and the taxonomic classes of its image.
SERVICES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (
        {
            "title": "Breakfast with the penguins",
            "description": "Help the keepers to weigh the fish, and watch the first feeding of the day.",
            "audience": "Families",
            "duration_minutes": 60,
            "capacity": 12,
            "price": Decimal("18.50"),
            "currency": "EUR",
        },
        ("Aves",),
    ),
    (
        {
            "title": "Night at the aquarium",
            "description": "A guided round after closing time, when the reef is asleep and others wake.",
            "audience": "Children from 8 years",
            "duration_minutes": 90,
            "capacity": 20,
            "price": Decimal("12.00"),
            "currency": "EUR",
        },
        ("Actinopterygii", "Amphibia"),
    ),
    (
        {
            "title": "How a keeper works",
            "description": "Training, food and health of mammals and reptiles: a morning for school classes.",
            "audience": "Schools",
            "duration_minutes": 120,
            "capacity": 30,
            "price": Decimal("95.00"),
            "currency": "EUR",
        },
        ("Mammalia", "Reptilia"),
    ),
]
