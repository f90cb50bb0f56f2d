from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0014_first_pictures'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='educationalservice',
            name='image',
        ),
        migrations.RemoveField(
            model_name='educationalservice',
            name='image_content_type',
        ),
        migrations.RemoveField(
            model_name='educationalservice',
            name='image_facts',
        ),
        migrations.RemoveField(
            model_name='educationalservice',
            name='image_size',
        ),
        migrations.RemoveField(
            model_name='exhibition',
            name='image',
        ),
        migrations.RemoveField(
            model_name='exhibition',
            name='image_content_type',
        ),
        migrations.RemoveField(
            model_name='exhibition',
            name='image_facts',
        ),
        migrations.RemoveField(
            model_name='exhibition',
            name='image_size',
        ),
        migrations.RemoveField(
            model_name='species',
            name='image',
        ),
        migrations.RemoveField(
            model_name='species',
            name='image_content_type',
        ),
        migrations.RemoveField(
            model_name='species',
            name='image_facts',
        ),
        migrations.RemoveField(
            model_name='species',
            name='image_size',
        ),
    ]
