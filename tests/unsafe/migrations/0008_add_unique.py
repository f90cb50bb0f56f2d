from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0007_change_type")]
    operations = [
        migrations.AlterField("zoo", "title", models.IntegerField(unique=True)),
    ]
