"""The admin of the catalogue, with the same rules, slugs, uploads and QR codes as the API."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, transaction
from django.db.models import Field, ManyToManyField, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import ResourceAdmin, may_view
from api.admin_site.direct_upload import ticket_urls
from api.base_models import parse_uuid
from api.catalog import galleries, qr_codes, rules
from api.catalog.gallery_admin import PicturesFilter, delete_after_commit, gallery_inline
from api.catalog.gallery_serializers import published
from api.catalog.models import EducationalService, Entry, Exhibition, Species
from api.search import searched_fields

RECORD = (_("Record"), {"fields": ["slug", "created_at", "updated_at"]})
UPLOAD_FIELD = "pictures"  # uploaded by the form's script, straight to storage
WAITING = "_pictures"  # sent by the form for new entries: the id of the pictures that wait in the browser


def thumbnail(url: str, alt: str = "", *, link: str = "") -> str:
    """Return a small picture. `link` is the URL of a larger one, if there is one."""
    return format_html(
        '<a href="{}"><img class="thumbnail" src="{}" alt="{}" loading="lazy"></a>', link or url, url, alt
    )


class CommaSeparatedHiddenInput(forms.HiddenInput):
    """A hidden input for many primary keys.

    One input for each of thousands of species would exceed DATA_UPLOAD_MAX_NUMBER_FIELDS.
    """

    def format_value(self, value: Any) -> str:
        return ",".join(str(key) for key in value or [])

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        return [key for key in data.get(name, "").split(",") if key]


class UUIDAutocompleteSelectMultiple(AutocompleteSelectMultiple):
    """Leaves malformed primary keys out when an invalid form is displayed again; the field reports them."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if parse_uuid(key)], attr)


class EntryAdmin(ResourceAdmin):
    """The base class of the admin pages of entries.

    The form has all fields of the model, unless `fieldsets` names others.
    """

    change_form_template = "admin/api/entry_form.html"
    list_display = ["image_shown", "__str__", "published"]
    list_display_links = ["__str__"]
    list_filter = ["published", PicturesFilter]
    search_fields = ["slug"]
    readonly_fields = ["slug", "created_at", "updated_at"]

    class Media:
        js = [forms.Script("vivarium/upload.js", type="module")]

    def get_urls(self) -> list[URLPattern]:
        urls = ticket_urls(self, UPLOAD_FIELD, check=galleries.check_ticket)
        return [*urls, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        entries: Any = super().get_queryset(request)
        images: QuerySet = entries.with_image()
        return images

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """Omit the gallery of a new entry, whose pictures are sent when it is saved."""
        return [gallery_inline(self.model), *super().get_inlines(request, obj)] if obj else []

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [*searched_fields(self.model), *super().get_search_fields(request)]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields of a form without `fieldsets`. Those of RECORD have a fieldset of their own."""
        return [name for name in super().get_fields(request, obj) if name not in RECORD[1]["fields"]]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Omit the fieldset RECORD for a new entry, which has no slug and no times yet."""
        return [*super().get_fieldsets(request, obj), *([RECORD] if obj else [])]

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **options: Any) -> Any:
        """Send the initial values with the form, so that only the fields that the user changed are saved."""
        field: Any = super().formfield_for_dbfield(db_field, request, show_hidden_initial=True, **options)
        if db_field.many_to_many:
            field.hidden_widget = CommaSeparatedHiddenInput
        return field

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> Any:
        field = self.model.upload_field(UPLOAD_FIELD)
        waiting = parse_uuid(request.POST.get(WAITING, "")) or ""
        context |= {"accepts": ",".join(field.accepts), "max_bytes": field.size_limit, "waiting": waiting}
        return super().render_change_form(request, context, *args, **options)

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        """Validate again if another request changed the database between validation and saving."""
        for _attempt in range(2):
            try:
                return super().changeform_view(request, *args, **options)
            except (IntegrityError, ObjectDoesNotExist):
                continue
        self.message_user(
            request,
            gettext("This conflicts with another change at the same time: check it and save again."),
            messages.ERROR,
        )
        return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Entry, form: Any, change: bool) -> None:
        """Save the changed fields only, because an upload may be recorded at the same time."""
        if not change:
            obj.create()
        elif form.changed_data:
            columns = {field.name for field in self.opts.fields}.intersection(form.changed_data)
            changes = {name: form.cleaned_data[name] for name in columns}
            obj.update(changes)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any, **options: Any) -> HttpResponse:
        """Go to the form of the new entry if pictures wait in the browser: its script sends them."""
        waiting = parse_uuid(request.POST.get(WAITING, ""))
        if waiting is None or IS_POPUP_VAR in request.POST or not self.has_change_permission(request, obj):
            return super().response_add(request, obj, *args, **options)
        pressed = request.POST.copy()
        pressed["_continue"] = ""
        request.POST = pressed  # type: ignore[assignment]
        response = super().response_add(request, obj, *args, **options)
        response.headers["Location"] += f"#pictures={waiting}"
        return response

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save()
        delete_after_commit(formset.deleted_objects)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        for formset in formsets:
            self.save_formset(request, form, formset, change)
        changed = [each for each in self.opts.many_to_many if each.name in form.changed_data]
        if changed:
            form.save_m2m()
            # Check now: at the commit, the message that all was saved would already be queued.
            tables = [each.m2m_db_table() for each in changed]
            transaction.get_connection().check_constraints(table_names=tables)

    @admin.display(description=_("picture"))
    def image_shown(self, entry: Any) -> str:
        image = entry.image and published(entry.image)
        if not image or not image["url"]:
            return ""
        smallest = image["renditions"][0]["url"] if image["renditions"] else image["url"]
        return thumbnail(smallest, entry.image.alt_en, link=image["url"])


class SpeciesForm(forms.ModelForm):
    def clean_scientific_name(self) -> str:
        return rules.clean_scientific_name(self.cleaned_data["scientific_name"])


@admin.register(Species)
class SpeciesAdmin(EntryAdmin):
    form = SpeciesForm
    list_display = [
        "image_shown",
        "common_name",
        "scientific_name",
        "published",
        "qr_code_shown",
        "conservation_status",
        "taxonomic_class",
    ]
    list_display_links = ["common_name"]
    list_filter = [
        "published",
        PicturesFilter,
        "conservation_status",
        ("qr_code", admin.EmptyFieldListFilter),
        "taxonomic_class",
    ]
    actions = ["make_qr_codes"]
    fieldsets = [
        (None, {"fields": ["common_name", "scientific_name", "conservation_status", "published"]}),
        (_("Taxonomy"), {"fields": ["taxonomic_class", "taxonomic_order", "family"]}),
        (_("Texts"), {"fields": ["description", "habitat"]}),
    ]

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        return qr_codes.public_url(obj) if obj else None

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            transaction.on_commit(partial(self._make_qr_codes, request, [obj]))

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if "_qr_code" not in request.POST:
            return super().response_change(request, obj)
        transaction.on_commit(partial(self.make_qr_codes, request, [obj]))
        return HttpResponseRedirect(request.get_full_path())

    @admin.action(description=_("Make the QR codes again"), permissions=["change"])
    def make_qr_codes(self, request: HttpRequest, queryset: Iterable[Species]) -> None:
        if made := self._make_qr_codes(request, queryset):
            text = ngettext("%(count)s QR code was made.", "%(count)s QR codes were made.", made)
            self.message_user(request, text % {"count": made}, messages.SUCCESS)

    def _make_qr_codes(self, request: HttpRequest, queryset: Iterable[Species]) -> int:
        """Make the codes and warn about those that failed. Returns how many were made."""
        results = [qr_codes.try_to_make(species) for species in queryset]
        if failed := results.count(False):
            text = ngettext(
                "%(count)s QR code could not be stored: make it again later.",
                "%(count)s QR codes could not be stored: make them again later.",
                failed,
            )
            self.message_user(request, text % {"count": failed}, messages.WARNING)
        return results.count(True)

    @admin.display(description=_("QR code"))
    def qr_code_shown(self, species: Species) -> str:
        return thumbnail(species.qr_code.url, gettext("QR code")) if species.qr_code else ""


@admin.register(Exhibition)
class ExhibitionAdmin(EntryAdmin):
    list_display = ["image_shown", "title", "location", "opens_on", "closes_on", "published"]
    list_display_links = ["title"]
    list_filter = ["published", PicturesFilter, "opens_on", "closes_on"]
    autocomplete_fields = ["species"]  # loads twenty at a time, however many there are
    fieldsets = [
        (None, {"fields": ["title", "location", "opens_on", "closes_on", "published"]}),
        (_("Content"), {"fields": ["description", "species"]}),
    ]

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Leave out the names of species for those who may not see species."""
        return [] if may_view(request, Species) else ["species"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        excluded = self.get_exclude(request, obj)
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in excluded]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def formfield_for_manytomany(
        self, db_field: ManyToManyField, request: HttpRequest, **options: Any
    ) -> Any:
        widget = UUIDAutocompleteSelectMultiple(db_field, self.admin_site)
        return super().formfield_for_manytomany(db_field, request, widget=widget, **options)


class EducationalServiceForm(forms.ModelForm):
    class Meta:
        # A ModelForm replaces the messages of errors whose code a form field also has.
        error_messages = {"currency": {"required": rules.CURRENCY_IS_MISSING}}


@admin.register(EducationalService)
class EducationalServiceAdmin(EntryAdmin):
    form = EducationalServiceForm
    list_display = [
        "image_shown",
        "title",
        "audience",
        "duration_minutes",
        "capacity",
        "price_shown",
        "published",
    ]
    list_display_links = ["title"]
    list_filter = ["published", PicturesFilter, "audience", "currency"]
    fieldsets = [
        (None, {"fields": ["title", "audience", "published"]}),
        (_("Booking"), {"fields": [("duration_minutes", "capacity"), ("price", "currency")]}),
        (_("Texts"), {"fields": ["description"]}),
    ]

    @admin.display(description=_("price"), ordering="price")
    def price_shown(self, service: EducationalService) -> str:
        return "" if service.price is None else f"{localize(service.price)} {service.currency}"
