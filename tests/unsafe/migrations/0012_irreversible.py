from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0011_remove_table")]
    operations = [
        migrations.RunPython(lambda apps, editor: None),
    ]
