"""The image of each entry becomes the first picture of its gallery.

What was published is published on, as `published_original`, until the sweep or `manage.py make_renditions` has
made the renditions.
"""

from django.db import migrations
from django.db.models import F
from django.utils import timezone

ENTRIES = {
    'Species': 'SpeciesPicture',
    'Exhibition': 'ExhibitionPicture',
    'EducationalService': 'EducationalServicePicture',
}
BATCH_SIZE = 500  # rows


def add_pictures(apps, schema_editor):
    alias = schema_editor.connection.alias
    now = timezone.now()  # not Now(): on SQLite, a query for the same time would not find what that stores
    for entry_model, picture_model in ENTRIES.items():
        entries = apps.get_model('api', entry_model)._base_manager.using(alias).exclude(image='')
        pictures = apps.get_model('api', picture_model)
        rows = (
            pictures(
                entry_id=entry.pk,
                position=0,
                published_original=entry.image.name,
                original_facts=entry.image_facts,
                original_size=entry.image_size,
                original_content_type=entry.image_content_type,
                renditions_due_at=now,
            )
            for entry in entries.iterator(BATCH_SIZE)
        )
        pictures._base_manager.using(alias).bulk_create(rows, batch_size=BATCH_SIZE)
    profiles = apps.get_model('api', 'Profile')._base_manager.using(alias).exclude(avatar='')
    profiles.update(published_original=F('avatar'), avatar='', renditions_due_at=now)


def set_images(apps, schema_editor):
    """Put the first pictures back: the uploaded file if it is still published, else the JPEG rendition.

    A picture of which nothing is published stays, so that the migration can be applied again.
    """
    alias = schema_editor.connection.alias
    for entry_model, picture_model in ENTRIES.items():
        entries = apps.get_model('api', entry_model)._base_manager.using(alias)
        pictures = apps.get_model('api', picture_model)._base_manager.using(alias)
        first = pictures.filter(position=0).exclude(published_original='', jpeg='')
        for picture in first.iterator(BATCH_SIZE):
            entries.filter(pk=picture.entry_id).update(**_file(picture, 'image', 'original'))
        first.delete()
    profiles = apps.get_model('api', 'Profile')._base_manager.using(alias)
    for profile in profiles.iterator(BATCH_SIZE):
        columns = {**_file(profile, 'avatar', 'avatar'), 'published_original': '', 'jpeg': ''}
        profiles.filter(pk=profile.pk).update(**columns, renditions_due_at=None)


def _file(row, name, original):
    if row.published_original:
        return {
            name: row.published_original.name,
            f'{name}_facts': getattr(row, f'{original}_facts'),
            f'{name}_size': getattr(row, f'{original}_size'),
            f'{name}_content_type': getattr(row, f'{original}_content_type'),
        }
    return {name: row.jpeg.name, f'{name}_facts': None, f'{name}_size': None, f'{name}_content_type': ''}


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0013_pictures'),
    ]

    operations = [
        migrations.RunPython(add_pictures, set_images),
    ]
