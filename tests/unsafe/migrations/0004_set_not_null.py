from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0003_without_default")]
    operations = [
        migrations.AlterField("zoo", "area", models.IntegerField(default=0)),
    ]
