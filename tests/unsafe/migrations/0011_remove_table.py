from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0010_rename_table")]
    operations = [
        migrations.DeleteModel("Keeper"),
    ]
