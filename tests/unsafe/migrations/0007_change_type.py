from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("unsafe", "0006_remove_column")]
    operations = [
        migrations.AlterField("zoo", "title", models.IntegerField()),
    ]
