import unicodedata

from django.db import DataError, IntegrityError, migrations, transaction

from api.text import drop_invisible

TEXTS = {
    'Species': ['common_name', 'scientific_name', 'description', 'habitat', 'taxonomic_class', 'taxonomic_order', 'family'],
    'Exhibition': ['title', 'description', 'location'],
    'EducationalService': ['title', 'description', 'audience'],
    'Document': ['title', 'description', 'category'],
    'Profile': ['display_name', 'bio'],
}
PAGE_SIZE = 500


def normalize(apps, schema_editor):
    """Store the texts of earlier versions as new ones are stored: in NFC, without invisible characters."""
    for name, fields in TEXTS.items():
        rows = apps.get_model('api', name)._base_manager.using(schema_editor.connection.alias)
        last = None
        while page := list(_after(rows, last).order_by('pk').values('pk', *fields)[:PAGE_SIZE]):
            last = page[-1]['pk']
            for texts in page:
                normalized = {field: _normalized(texts[field]) for field in fields}
                if any(normalized[field] != texts[field] for field in fields):
                    _update(rows.filter(**texts), normalized)


def _after(rows, last):
    return rows.all() if last is None else rows.filter(pk__gt=last)


def _normalized(text):
    return text if text.isascii() else unicodedata.normalize('NFC', drop_invisible(text))


def _update(row, texts):
    try:
        with transaction.atomic():
            row.update(**texts)
    except (IntegrityError, DataError):  # the name of another row, or too long: it stays as it is
        pass


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0010_search_text'),
    ]

    operations = [
        migrations.RunPython(normalize, migrations.RunPython.noop),
    ]
