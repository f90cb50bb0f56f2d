from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0005_rename_column")]
    operations = [
        migrations.RemoveField("zoo", "motto"),
    ]
