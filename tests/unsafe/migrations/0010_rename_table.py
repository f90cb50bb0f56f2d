from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0009_add_index")]
    operations = [
        migrations.RenameModel("Zoo", "Aquarium"),
    ]
