"""Scientific names: which are well formed, and how they are put right."""

import pytest

from api.catalog.scientific_names import InvalidName, normalise
from api.models import Species
from tests.support.cast import Caller, code

#: As people send it, and as it is kept.
GOOD = {
    # animals
    "Panthera leo": "Panthera leo",
    "panthera LEO": "Panthera leo",
    "PANTHERA LEO PERSICA": "Panthera leo persica",
    "  Spheniscus   demersus ": "Spheniscus demersus",
    "Spheniscus\u00a0humboldti": "Spheniscus humboldti",
    "Gorilla gorilla gorilla": "Gorilla gorilla gorilla",
    "Bubo bubo": "Bubo bubo",
    "Panthera tigris subsp. sumatrae": "Panthera tigris subsp. sumatrae",
    "Panthera tigris ssp. sumatrae": "Panthera tigris subsp. sumatrae",
    "Panthera tigris ssp sumatrae": "Panthera tigris subsp. sumatrae",
    "Polygonia c-album": "Polygonia c-album",
    "polygonia C-Album": "Polygonia c-album",
    "Nymphalis vau-album": "Nymphalis vau-album",
    "Ia io": "Ia io",
    "Aha ha": "Aha ha",
    "Yi qi": "Yi qi",
    "Parastratiosphecomyia stratiosphecomyioides": "Parastratiosphecomyia stratiosphecomyioides",
    # plants
    "Isoëtes lacustris": "Isoëtes lacustris",
    "Isoe\u0308tes lacustris": "Isoëtes lacustris",
    "ISOËTES LACUSTRIS": "Isoëtes lacustris",
    "Aloë vera": "Aloë vera",
    "Capsella bursa-pastoris": "Capsella bursa-pastoris",
    "Arctostaphylos uva-ursi": "Arctostaphylos uva-ursi",
    "Athyrium filix-femina": "Athyrium filix-femina",
    "Impatiens noli-tangere": "Impatiens noli-tangere",
    "Brassica oleracea var. capitata": "Brassica oleracea var. capitata",
    "Brassica oleracea VAR. Capitata": "Brassica oleracea var. capitata",
    "Brassica oleracea var capitata": "Brassica oleracea var. capitata",
    "Fagus sylvatica f. purpurea": "Fagus sylvatica f. purpurea",
    "Fagus sylvatica forma purpurea": "Fagus sylvatica f. purpurea",
    "Acanthocalycium klimpelianum var. macranthum": "Acanthocalycium klimpelianum var. macranthum",
    "Pinus nigra subsp. laricio var. corsicana": "Pinus nigra subsp. laricio var. corsicana",
    "Saxifraga aizoon var. aizoon subvar. brevifolia f. multicaulis subf. surculosa": (
        "Saxifraga aizoon var. aizoon subvar. brevifolia f. multicaulis subf. surculosa"
    ),
    # hybrids
    "Mentha × piperita": "Mentha × piperita",
    "Mentha x piperita": "Mentha × piperita",
    "Mentha X Piperita": "Mentha × piperita",
    "Mentha ×piperita": "Mentha × piperita",
    "Mentha × piperita nothosubsp. citrata": "Mentha × piperita nothosubsp. citrata",
    "Populus × canadensis nothovar. marilandica": "Populus × canadensis nothovar. marilandica",
    "Platanus × hispanica": "Platanus × hispanica",
    "× Cuprocyparis leylandii": "× Cuprocyparis leylandii",
    "×Cuprocyparis leylandii": "× Cuprocyparis leylandii",
    "x cuprocyparis leylandii": "× Cuprocyparis leylandii",
    "× Heucherella × tiarelloides": "× Heucherella × tiarelloides",
    "Salix aurita × Salix caprea": "Salix aurita × Salix caprea",
    "Salix aurita × S. caprea": "Salix aurita × Salix caprea",
    "Panthera leo x panthera tigris": "Panthera leo × Panthera tigris",
    "Equus asinus × Equus caballus": "Equus asinus × Equus caballus",
    "Polypodium vulgare subsp. prionodes × P. vulgare subsp. vulgare": (
        "Polypodium vulgare subsp. prionodes × Polypodium vulgare subsp. vulgare"
    ),
    "Salix aurita × Salix caprea × Salix cinerea": "Salix aurita × Salix caprea × Salix cinerea",
    # cultivars
    "Rosa 'Peace'": "Rosa 'Peace'",
    "Rosa ‘Peace’": "Rosa 'Peace'",
    "rosa 'peace'": "Rosa 'Peace'",
    "Rosa canina 'Assisi'": "Rosa canina 'Assisi'",
    "Rosa 'Souvenir de la Malmaison'": "Rosa 'Souvenir de la Malmaison'",
    "Rosa 'Gloire de Guérin'": "Rosa 'Gloire de Guérin'",
    "Malus domestica 'Cox's Orange Pippin'": "Malus domestica 'Cox's Orange Pippin'",
    "Hosta sieboldiana cv. Elegans": "Hosta sieboldiana cv. Elegans",
    "Hosta sieboldiana cv. elegans": "Hosta sieboldiana cv. Elegans",
    "Hosta sieboldiana cv. 'Elegans'": "Hosta sieboldiana 'Elegans'",
    "Acer palmatum var. dissectum 'Garnet'": "Acer palmatum var. dissectum 'Garnet'",
    "× Heucherella 'Bridget Bloom'": "× Heucherella 'Bridget Bloom'",
}

BAD = [
    # nothing, or too little
    "",
    " ",
    "Panthera",
    "lion",
    "×",
    "× Cuprocyparis",
    "P. leo",
    "P leo",
    "Panthera l",
    # too much
    "Panthera leo leo leo",
    "the king of beasts",
    "Rosa 'Peace' canina",
    "Rosa 'Peace' 'Love'",
    # authors, years, brackets
    "Panthera leo (Linnaeus, 1758)",
    "Panthera leo Linnaeus, 1758",
    "Panthera leo L.",
    "Panthera leo Linnaeus",
    "Brassica oleracea Linnaeus",
    "Quercus × turneri Willdenow",
    "Panthera leo 1758",
    "Panthera (Leo) leo",
    "Panthera [leo]",
    "Brassica oleracea L. var. capitata L.",
    # which species is left open
    "Panthera sp.",
    "Panthera sp",
    "Panthera spp.",
    "Panthera cf. leo",
    "Panthera aff. leo",
    "Panthera indet.",
    "Rosa hybrid",
    # a rank, or a cross, without what belongs there
    "Panthera leo subsp.",
    "Panthera leo var.",
    "Panthera leo f.",
    "Rosa canina cv.",
    "Rosa subsp. alba",
    "Rosa var. alba canina",
    "Panthera subsp. subsp. leo",
    "Fagus sylvatica f. purpurea subsp. orientalis",
    "Fagus sylvatica orientalis var. purpurea",
    "Fagus sylvatica var. purpurea var. alba",
    "Panthera leo ×",
    "Mentha ×",
    "Mentha × ×",
    "Mentha × × piperita",
    "Mentha × piperita ×",
    "Salix aurita × caprea",
    "Salix aurita × B. caprea",
    "Rosa ''",
    "Rosa ' '",
    "Rosa 'Peace",
    "Rosa Peace'",
    "Rosa 'Пион'",
    "Rosa '<b>Peace</b>'",
    "Rosa 'Peace\x00'",
    "Rosa cv. 1",
    "Rosa cv. __",
    # what is no word of Latin letters
    "Coccinella 7-punctata",
    "Panthera le0",
    "Panthera leo!",
    "Panthera leo; DROP TABLE",
    "<b>Panthera</b> leo",
    "Panthera <script>alert(1)</script>",
    "Panthera leo\x00",
    "Pan\x07thera leo",
    "Panthera\tleo",
    "Panthera\nleo",
    "Panthera\x1fleo",
    "Panthera\u200b leo",
    "Panthera \u202eoel",
    "Пантера лев",
    "Pаnthera leo",  # a Cyrillic а
    "Panthera leо",  # a Cyrillic о
    "ライオン 獅子",
    "Panthera ſp",
    "Ｐａｎｔｈｅｒａ leo",
    "Panthera -leo",
    "Panthera leo-",
    "Panthera le--o",
    "Panthera_leo",
    "Panthera/leo cat",
    "🦁 leo",
    "Panthera 🦁",
    "Cestrum o'donellii",
    "Panthera " + "l" * 200,
    "' " * 99,
    "'a " * 60,
]


@pytest.mark.parametrize(("sent", "kept"), GOOD.items())
def test_a_name_is_kept_as_it_is_properly_written(sent: str, kept: str):
    assert normalise(sent) == kept
    assert normalise(kept) == kept


@pytest.mark.parametrize("sent", BAD)
def test_what_is_no_name_is_refused_with_a_word(sent: str):
    with pytest.raises(InvalidName) as refusal:
        normalise(sent)

    assert len(str(refusal.value)) < 200
    assert str(refusal.value).endswith((".", "”."))
    assert "“”" not in str(refusal.value)


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        ("Panthera", "genus and an epithet"),
        ("Panthera leo L.", "authors"),
        ("Panthera sp.", "undetermined"),
        ("Panthera leo leo leo", "rank"),
        ("Panthera leo ×", "incomplete"),
        ("Panthera leo subsp.", "incomplete"),
        ("Rosa 'Peace", "single quotes"),
        ("Panthera\nleo", "line breaks"),
    ],
)
def test_the_word_is_clear(sent: str, word: str):
    with pytest.raises(InvalidName, match=word):
        normalise(sent)


# --- Asked of the API --------------------------------------------------------------------------------


def test_the_api_puts_a_name_right(curator: Caller):
    made = curator.post("species/", {"common_name": "Peppermint", "scientific_name": "mentha X PIPERITA"})

    assert made.json()["scientific_name"] == "Mentha × piperita"
    changed = curator.patch("species/peppermint/", {"scientific_name": "MENTHA ssp"})
    assert code(changed) == "invalid"
    [error] = changed.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/scientific_name", "not_a_name")
    assert curator.get("species/peppermint/").json()["scientific_name"] == "Mentha × piperita"


@pytest.mark.parametrize("again", ["Mentha × piperita", "mentha x piperita", " MENTHA ×Piperita "])
def test_a_name_is_taken_however_it_is_written(again: str, curator: Caller):
    curator.post("species/", {"common_name": "Peppermint", "scientific_name": "Mentha × piperita"})
    curator.post("species/", {"common_name": "Lion", "scientific_name": "Panthera leo"})

    for answer in (
        curator.post("species/", {"common_name": "Mint", "scientific_name": again}),
        curator.patch("species/lion/", {"scientific_name": again}),
    ):
        assert code(answer) == "invalid"
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == ("#/scientific_name", "unique")
    assert Species.objects.count() == 2


def test_a_species_may_keep_its_own_name(curator: Caller):
    curator.post("species/", {"common_name": "Lion", "scientific_name": "Panthera leo"})

    assert curator.patch("species/lion/", {"scientific_name": "panthera LEO"}).status_code == 200


@pytest.mark.parametrize("sent", [None, 1, True, ["Panthera leo"], {"a": "b"}, "", "\ud800", "a\x00b"])
def test_what_is_no_text_is_no_name(sent, curator: Caller):
    answer = curator.post("species/", {"common_name": "Lion", "scientific_name": sent})

    assert code(answer) == "invalid"
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/scientific_name"}
