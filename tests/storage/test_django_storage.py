"""What docs/django-storage.md promises: its settings and its code are used as they stand there."""

import ast
import inspect
import re
import sys

import pytest
from django.apps import AppConfig
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.storage.handler import StorageHandler
from django.test.utils import isolate_apps

from storage import apps, keys, tokens
from storage.base import SignedStorage
from storage.local import LocalStorage
from storage.supabase import SupabaseStorage
from tests.support.server import ROOT

TEXT = (ROOT / "docs" / "django-storage.md").read_text()
SETTINGS, MODELS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def written(monkeypatch) -> dict:
    """The settings, as the page has them."""
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    names = {"INSTALLED_APPS": []}
    exec(SETTINGS, names)
    return names


def test_its_settings_make_storages(written):
    storages = StorageHandler(written["STORAGES"])

    assert written["INSTALLED_APPS"] == ["storage"]
    for alias, bucket, is_public in (
        ("default", "media", False),
        ("pictures", "pictures", True),
        ("staticfiles", "static", True),
    ):
        store = storages[alias]
        assert isinstance(store, SupabaseStorage)
        assert (store.bucket, store.public) == (bucket, is_public)


#: Where a package has another name than its module. The SDK of Supabase brings `storage3`.
PACKAGES = {"jwt": "pyjwt", "psycopg": "psycopg[binary]", "storage3": "supabase"}


def test_its_packages_are_all_that_is_imported():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "storage").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    modules = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"storage"}

    listed = re.search(r"install\s+`(django [^`]*)`", TEXT)[1].split()

    assert {PACKAGES.get(module, module) for module in modules} == set(listed)


def test_ten_lines_are_ten():
    assert len(SETTINGS.replace("\n\n", "\n").splitlines()) == 10


@isolate_apps("api")
def test_its_models_use_an_entry_of_storages(settings):
    local = {"BACKEND": "storage.local.LocalStorage", "OPTIONS": {"bucket": "pictures", "public": True}}
    settings.STORAGES = {**settings.STORAGES, "pictures": local}
    names = {"__name__": "api.models"}  # of an installed app

    exec(MODELS, names)
    animal = names["Animal"]()
    animal.picture.save("otter.png", ContentFile(b"otter"), save=False)

    assert isinstance(storages["pictures"], LocalStorage)
    assert animal.picture.url.endswith("/object/public/pictures/animals/otter.png")
    assert issubclass(names["HashedStaticFiles"], SupabaseStorage)


def test_it_lists_every_option_with_its_default():
    table = TEXT.partition("## Options")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.MULTILINE)
    listed = {option: default for names, default in rows for option in re.findall(r"`(\w+)`", names)}

    parameters = inspect.signature(SignedStorage.__init__).parameters
    options = {name: each.default for name, each in parameters.items() if name not in ("self", "unknown")}
    assert listed.keys() == options.keys()
    for name in ("public", "cache_control", "file_overwrite"):
        assert listed[name].strip("`") == str(options[name])
    assert f"`DOWNLOAD_URL_TTL`, {apps.DEFAULTS['DOWNLOAD_URL_TTL']}" == listed["url_expires"]


def test_its_examples_of_names_are_true():
    assert keys.from_name("[id].js") in TEXT
    assert keys.transliterate("guía.pdf") == "guia.pdf"


@pytest.mark.parametrize("act", [lambda store: store.path("a"), lambda store: store.get_accessed_time("a")])
def test_what_it_says_is_not_there_is_not_there(act):
    with pytest.raises(NotImplementedError):
        act(LocalStorage("media"))


def test_without_a_jwt_secret_the_local_store_signs_with_one_of_its_own(settings):
    del settings.SUPABASE_JWT_SECRET

    AppConfig.create("storage")

    assert len(settings.SUPABASE_JWT_SECRET) == 64
    assert settings.SUPABASE_JWT_SECRET != settings.SECRET_KEY
    token = LocalStorage("media").url("a").partition("token=")[2]
    assert tokens.check(token, "download", "media", "a")
