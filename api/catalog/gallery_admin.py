"""The gallery in the admin form of an entry: the texts, the order and the deletion of its pictures."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.validators import MaxValueValidator
from django.db import transaction
from django.db.models import Exists, Field, Model, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import BoundedAdmin
from api.catalog import galleries
from api.catalog.pictures import Picture, lock_gallery


class PictureForm(forms.ModelForm):
    """The texts of a picture, and its position, which the page's script sets.

    The initial values are sent along, so that only what the user changed is saved.
    """

    position = forms.IntegerField(
        label=_("position"), min_value=0, show_hidden_initial=True, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["position"] = self.instance.position  # ignored by Django, because it is not editable

    def clean(self) -> None:
        if self.instance._state.adding:
            raise ValidationError(
                _("This picture was deleted meanwhile: tick “Delete” here, or load the page again.")
            )

    def texts(self) -> list[Any]:
        return [self[name] for name in PictureInline.fields]

    def shown_texts(self) -> list[tuple[str, str]]:
        """Return the labels and values for those who may not change them."""
        values = {**vars(self.instance), "licence": self.instance.get_licence_display()}
        return [(field.label, values[field.name]) for field in self.texts()]

    def changed_texts(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data if name in PictureInline.fields}


class PictureFormSet(forms.BaseInlineFormSet):
    """The pictures of an entry. It saves by `galleries`, and only those that the entry has."""

    new_objects: list[Picture]
    changed_objects: list[tuple[Picture, list[str]]]
    deleted_objects: list[Picture]

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        last = max(len(self.get_queryset()), self.total_form_count()) - 1
        form.fields["position"].validators.append(MaxValueValidator(last))

    def in_order(self) -> list[Any]:
        """Return the forms in the order of their positions, also of positions that are invalid."""
        return sorted(self.initial_forms, key=_position_sent)

    def clean(self) -> None:
        forms_of_pictures = self._forms_of_pictures()
        sent = [form.cleaned_data.get("position") for form in forms_of_pictures]
        positions = [position for position in sent if position is not None]
        if len(set(positions)) < len(positions):
            raise ValidationError(_("Two pictures have the same position."))
        if len({form.instance.pk for form in forms_of_pictures}) < len(forms_of_pictures):
            raise ValidationError(_("A picture was sent twice."))

    def save(self, commit: bool = True) -> list[Picture]:
        """Save the texts, then the order. Sets what the history says; the caller deletes `deleted_objects`.

        Raises DoesNotExist if the entry or a picture was deleted meanwhile.
        """
        present = self._forms_of_pictures()
        kept = [form for form in present if not form.cleaned_data.get("DELETE")]
        self.new_objects = []
        self.deleted_objects = [form.instance for form in present if form not in kept]
        self.changed_objects = [(form.instance, form.changed_data) for form in kept if form.has_changed()]
        for form in kept:
            if texts := form.changed_texts():
                galleries.change(form.instance, texts)
        if any("position" in form.changed_data for form in kept):
            by_position = sorted(present, key=lambda form: form.cleaned_data["position"])
            self._put_in_order([form.instance for form in by_position])
        return [picture for picture, _names in self.changed_objects]

    def _forms_of_pictures(self) -> list[Any]:
        return [form for form in self.initial_forms if not form.instance._state.adding]

    def _put_in_order(self, pictures: list[Picture]) -> None:
        """Move these pictures to the front, in this order. Others were added meanwhile, and stay behind."""
        gallery = lock_gallery(self.instance)
        order = [] if gallery is None else list(gallery.values_list("pk", flat=True))
        for position, picture in enumerate(pictures):
            if order[position : position + 1] != [picture.pk]:
                galleries.change(picture, {"position": position})
                order.remove(picture.pk)
                order.insert(position, picture.pk)


class PictureInline(admin.options.InlineModelAdmin):
    """The base class of the galleries. Who may change the entry may change its pictures."""

    form = PictureForm
    formset = PictureFormSet
    template = "admin/api/gallery.html"
    view_on_site = False  # `get_absolute_url` of a picture is a URL of the API
    fields = ("alt_en", "alt_es", "credit", "licence")
    formfield_overrides = BoundedAdmin.formfield_overrides

    @property
    def media(self) -> forms.Media:
        scripts: Any = [forms.Script("vivarium/gallery.js", type="module")]
        return forms.Media(js=scripts)

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **options: Any) -> Any:
        return super().formfield_for_dbfield(db_field, request, show_hidden_initial=True, **options)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # pictures are added by upload

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._entry_admin().has_change_permission(request)

    has_delete_permission = has_change_permission

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self._entry_admin().has_view_permission(request)

    def _entry_admin(self) -> admin.ModelAdmin:
        return self.admin_site.get_model_admin(self.parent_model)


def gallery_inline(entries: Any) -> type[PictureInline]:
    """Return the inline of the pictures of these entries. `entries` is their model."""
    pictures = entries._meta.get_field("pictures").related_model
    return type(f"{pictures.__name__}Inline", (PictureInline,), {"model": pictures})


class PicturesFilter(admin.SimpleListFilter):
    """Filters entries by whether they have pictures, or one whose renditions could not be made."""

    title = _("pictures")
    parameter_name = "pictures"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("with", _("With pictures")), ("without", _("Without pictures")), ("failed", _("Failed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        model: Any = queryset.model._meta.get_field("pictures").related_model
        pictures = model.objects.filter(entry=OuterRef("pk"))
        match self.value():
            case "with":
                return queryset.filter(Exists(pictures))
            case "without":
                return queryset.filter(~Exists(pictures))
            case "failed":
                return queryset.filter(Exists(pictures.exclude(rendition_error="")))
        return queryset


def delete_after_commit(pictures: list[Picture]) -> None:
    for picture in pictures:
        transaction.on_commit(partial(_delete, picture))


def _delete(picture: Picture) -> None:
    try:
        galleries.delete(picture)
    except ObjectDoesNotExist:
        pass  # deleted by another request


def _position_sent(form: Any) -> int:
    try:
        return int(form["position"].value())
    except (TypeError, ValueError):
        return 0
