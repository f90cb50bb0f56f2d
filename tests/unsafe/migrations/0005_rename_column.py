from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0004_set_not_null")]
    operations = [
        migrations.RenameField("zoo", "name", "title"),
    ]
